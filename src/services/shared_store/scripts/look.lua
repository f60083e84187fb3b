#!lua flags=allow-oom
-- Reads a partition's meta, and counts it there: a read that is a write can be vouched for by WAIT.
--
-- KEYS  1 meta
-- Gives all fields, each with its value
redis.call('HINCRBY', KEYS[1], 'looks', 1)
return redis.call('HGETALL', KEYS[1])
