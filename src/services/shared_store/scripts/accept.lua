#!lua
-- Goes on behind a place although changes before it are lost: an operator has accepted it. What is older than the hole cannot
-- be read without a gap, so it counts as pruned.
--
-- KEYS  1 meta
-- ARGV  1 owner  2 epoch  3 place of the last change that was numbered
-- Gives OK, last place | FENCED, owner, epoch
local was = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return { 'FENCED', was[1] or '', was[2] or '0' }
end
local seq, to = tonumber(was[3] or '0'), tonumber(ARGV[3])
if to <= seq then
  redis.call('HINCRBY', KEYS[1], 'looks', 1)
  return { 'OK', seq }
end
redis.call('HSET', KEYS[1], 'seq', to, 'durable', to, 'pruned', to)
return { 'OK', to }
