#!lua flags=allow-oom
-- Reads users of one partition from both hashes at one moment: in between, a user could go from the one to the other. Counts it in
-- the meta: a read that is a write can be vouched for by WAIT.
--
-- KEYS  1 meta  2 residents  3 others
-- ARGV  UserIDs, at most 1,000
-- Gives {owner, epoch, last place}, the records of residents, and those of others, each in the order of the UserIDs
redis.call('HINCRBY', KEYS[1], 'looks', 1)
local is = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq')
local meta = { is[1] or '', is[2] or '0', is[3] or '0' }
if #ARGV == 0 then
  return { meta, {}, {} }
end
return { meta, redis.call('HMGET', KEYS[2], unpack(ARGV)), redis.call('HMGET', KEYS[3], unpack(ARGV)) }
