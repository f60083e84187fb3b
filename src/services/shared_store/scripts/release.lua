#!lua flags=allow-oom
-- Hands a partition over to another node, or to nobody. The same release again is granted again, until somebody claims.
--
-- KEYS  1 meta
-- ARGV  1 owner  2 epoch  3 next owner, or nothing
-- Gives OK, new epoch | FENCED, owner, epoch
local was = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if was[1] == ARGV[3] and tonumber(was[2]) == tonumber(ARGV[2]) + 1 then
  redis.call('HINCRBY', KEYS[1], 'looks', 1)
  return { 'OK', was[2] }
end
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return { 'FENCED', was[1] or '', was[2] or '0' }
end
redis.call('HSET', KEYS[1], 'owner', ARGV[3])
return { 'OK', redis.call('HINCRBY', KEYS[1], 'epoch', 1) }
