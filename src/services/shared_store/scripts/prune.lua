#!lua flags=allow-oom
-- Removes changes before a place. The batch that holds the place stays whole, and so does the newest batch. It blocks its
-- master for as long as it removes, so it is asked for in small steps.
--
-- KEYS  1 meta  2 stream
-- ARGV  1 owner  2 epoch  3 place of the oldest change to keep
-- Gives OK, place up to which all is removed | FENCED, owner, epoch
local was = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'pruned')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return { 'FENCED', was[1] or '', was[2] or '0' }
end
local pruned = tonumber(was[3] or '0')
local kept = redis.call('XREVRANGE', KEYS[2], ARGV[3], '-', 'COUNT', 1)[1]
if kept then
  pruned = math.max(pruned, tonumber(string.match(kept[1], '^%d+')) - 1)
end
redis.call('HSET', KEYS[1], 'pruned', pruned)
if kept then
  redis.call('XTRIM', KEYS[2], 'MINID', kept[1])
end
return { 'OK', pruned }
