#!lua flags=no-writes
-- Reads users of one partition from both hashes at one moment: in between, a user could go from the one to the other.
--
-- KEYS  1 residents  2 others
-- ARGV  UserIDs, at most 1,000
-- Gives the records of residents, and those of others, each in the order of the UserIDs
return { redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV)) }
