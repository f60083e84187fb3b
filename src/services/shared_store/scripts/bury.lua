#!lua flags=allow-oom
-- Declares an incarnation of a node dead, if it has not beaten since.
--
-- KEYS  1 nodes
-- ARGV  1 name  2 incarnation  3 the last beat that was seen of it
-- Gives OK | CHANGED, row or nothing
local row = redis.call('HGET', KEYS[1], ARGV[1])
local incarnation, beat, rest
if row then
  incarnation, beat, rest = string.match(row, '^(%d+) (%d+) %a+ (.*)$')
end
if incarnation ~= ARGV[2] or beat ~= ARGV[3] then
  return { 'CHANGED', row or '' }
end
redis.call('HSET', KEYS[1], ARGV[1], table.concat({ incarnation, beat, 'dead', rest }, ' '))
return { 'OK' }
