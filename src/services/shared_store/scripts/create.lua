#!lua
-- Founds a cluster. Whoever is first decides; the others are told what it decided.
--
-- KEYS  1 founding
-- ARGV  1 format  2 how many partitions  3 version of the hash of users  4 id of the store
-- Gives format, partitions, hash, store
local was = redis.call('HMGET', KEYS[1], 'format', 'partitions', 'hash', 'store')
if was[1] then
  redis.call('HINCRBY', KEYS[1], 'looks', 1)
  return was
end
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'partitions', ARGV[2], 'hash', ARGV[3], 'store', ARGV[4])
return ARGV
