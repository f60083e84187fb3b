#!lua flags=allow-oom
-- Makes a node the owner of a partition, if the owner and epoch are those that it has seen and the data is of its format and
-- store. The same claim again is granted again.
--
-- KEYS  1 meta
-- ARGV  1 new owner  2 owner that was seen  3 epoch that was seen  4 new epoch  5 format and store
-- Gives OK, seq, durable, pruned, cursor, latest, steps | TAKEN, owner, epoch | FOREIGN, format and store
local was = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'format', 'seq', 'durable', 'pruned', 'cursor', 'latest', 'steps')
local owner, epoch = was[1] or '', was[2] or '0'
if was[3] and was[3] ~= ARGV[5] then
  return { 'FOREIGN', was[3] }
end
local again = owner == ARGV[1] and epoch == ARGV[4]
local seen = owner == ARGV[2] and epoch == ARGV[3] and tonumber(ARGV[4]) > tonumber(epoch)
if not again and not seen then
  return { 'TAKEN', owner, epoch }
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', ARGV[4], 'format', ARGV[5])
return { 'OK', was[4] or '0', was[5] or '0', was[6] or '0', was[7] or '0', was[8] or '0', was[9] or '0' }
