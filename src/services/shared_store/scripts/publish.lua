#!lua flags=allow-oom
-- Writes into the map who owns a partition, unless something newer is there. The map is a hint: the partition's meta decides.
--
-- KEYS  1 map (partition to epoch, owner; and a version that counts)
-- ARGV  1 partition  2 epoch  3 owner, or nothing
-- Gives the version of the map
local was = redis.call('HGET', KEYS[1], ARGV[1])
if was and tonumber(string.match(was, '^%d+')) > tonumber(ARGV[2]) then
  return redis.call('HINCRBY', KEYS[1], 'version', 0)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return redis.call('HINCRBY', KEYS[1], 'version', 1)
