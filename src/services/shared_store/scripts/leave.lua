#!lua flags=allow-oom
-- Takes the row of a node away that has left by itself. Once it is away, it stays so.
--
-- KEYS  1 nodes  2 last incarnation
-- ARGV  1 name  2 incarnation
-- Gives OK | CHANGED, row
local row = redis.call('HGET', KEYS[1], ARGV[1])
if row and string.match(row, '^%d+') ~= ARGV[2] then
  return { 'CHANGED', row }
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('INCRBY', KEYS[2], 0) -- a write, also if there was no row
return { 'OK' }
