#!lua flags=allow-oom
-- Shows that a node lives, and tells it of all others. A beat that comes late, behind a newer one, changes nothing.
--
-- KEYS  1 nodes  2 map
-- ARGV  1 name  2 incarnation  3 number of the beat  4 state  5 what it says of itself
-- Gives OK, version of the map, all nodes as name, row | DEAD, row or nothing
local row = redis.call('HGET', KEYS[1], ARGV[1])
local incarnation, beat, state
if row then
  incarnation, beat, state = string.match(row, '^(%d+) (%d+) (%a+) ')
end
if incarnation ~= ARGV[2] or state == 'dead' then
  return { 'DEAD', row or '' }
end
if tonumber(ARGV[3]) > tonumber(beat) then
  row = table.concat({ ARGV[2], ARGV[3], ARGV[4], ARGV[5] }, ' ')
end
redis.call('HSET', KEYS[1], ARGV[1], row)
return { 'OK', redis.call('HGET', KEYS[2], 'version') or '0', redis.call('HGETALL', KEYS[1]) }
