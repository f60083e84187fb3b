#!lua flags=no-writes
-- Reads a part of the stream, and what the partition's meta is at the same moment: only with it is known whose stream it is.
--
-- KEYS  1 meta  2 stream
-- ARGV  1 place of the first change that is wanted  2 how many batches at most
-- Gives the meta's fields, each with its value; batches from the one with that change, or the last before it, on
local held = redis.call('XREVRANGE', KEYS[2], ARGV[1], '-', 'COUNT', 1)[1]
local from = held and held[1] or ARGV[1]
return { redis.call('HGETALL', KEYS[1]), redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2]) }
