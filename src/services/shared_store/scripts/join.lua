#!lua flags=allow-oom
-- Makes a process a node: gives it an incarnation of its own, if the row of its name is what it has seen.
--
-- KEYS  1 nodes (name to row: incarnation, beat, state, what it says of itself)  2 last incarnation
-- ARGV  1 name  2 incarnation that was seen, or nothing  3 beat that was seen, or nothing  4 what it says of itself
-- Gives OK, incarnation | CHANGED, row or nothing
local row = redis.call('HGET', KEYS[1], ARGV[1])
local incarnation, beat = '', ''
if row then
  incarnation, beat = string.match(row, '^(%d+) (%d+) ')
end
if incarnation ~= ARGV[2] or beat ~= ARGV[3] then
  return { 'CHANGED', row or '' }
end
local new = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], new .. ' 0 up ' .. ARGV[4])
return { 'OK', new }
