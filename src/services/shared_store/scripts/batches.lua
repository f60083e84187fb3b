#!lua flags=no-writes
-- Reads the batches that hold certain changes, and what the partition's meta is at the same moment.
--
-- KEYS  1 meta  2 stream
-- ARGV  places, ascending, at most 1,000
-- Gives the meta's fields, each with its value; of each place the batch with it, or the last before it, none of them twice
local batches, last = {}, nil
for _, place in ipairs(ARGV) do
  local held = redis.call('XREVRANGE', KEYS[2], place, '-', 'COUNT', 1)[1]
  if held and held[1] ~= last then
    batches[#batches + 1], last = held, held[1]
  end
end
return { redis.call('HGETALL', KEYS[1]), batches }
