#!lua
-- Records a batch of changes of one partition: if its owner still owns it, nothing before the batch is missing, and the
-- batch is not there yet. A user is afterwards in one of the two hashes, or in none. A batch without changes has no place of its
-- own: its records are written as long as no change follows. With no records either it only shows that the owner still owns the
-- partition, with all that it recorded.
--
-- KEYS  1 meta  2 residents  3 others  4 stream
-- ARGV  1 owner  2 epoch  3 place of the first change  4 how many changes  5 place up to which all is confirmed
--       6 highest date of a change  7 the changes, as bytes  8 how many residents  9 how many others
--       then each resident as UserID, record; each other as UserID, record; UserIDs of users that are gone
-- Gives OK, last place | FENCED, owner, epoch | BEHIND, last place
--
-- Whatever says OK has written something: WAIT vouches for the last write of its connection and nothing else.
local CHUNK = 2000 -- even; unpack has room for less than 8,000
local meta, residents, others, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function drop(hash, users, from)
  for at = from, #users, CHUNK do
    redis.call('HDEL', hash, unpack(users, at, math.min(at + CHUNK - 1, #users)))
  end
end

local function put(hash, other, from, count)
  local last, users = from + 2 * count - 1, {}
  for at = from, last, CHUNK do
    redis.call('HSET', hash, unpack(ARGV, at, math.min(at + CHUNK - 1, last)))
  end
  for at = from, last, 2 do
    users[#users + 1] = ARGV[at]
  end
  drop(other, users, 1)
  return last + 1
end

local was = redis.call('HMGET', meta, 'owner', 'epoch', 'seq')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return { 'FENCED', was[1] or '', was[2] or '0' }
end
local seq, first, count = tonumber(was[3] or '0'), tonumber(ARGV[3]), tonumber(ARGV[4])
local last = first + count - 1
if seq >= first and (count == 0 or seq >= last) then -- there already; or older than what is there, which must not be undone
  redis.call('HINCRBY', meta, 'looks', 1)
  return { 'OK', seq }
end
if seq < first - 1 or seq >= first then
  return { 'BEHIND', seq }
end
if count > 0 then
  redis.call('XADD', stream, ARGV[3] .. '-0', 'b', ARGV[7]) -- the first write: it alone can fail, and then nothing is written
end
local at = put(residents, others, 10, tonumber(ARGV[8]))
at = put(others, residents, at, tonumber(ARGV[9]))
drop(residents, ARGV, at)
drop(others, ARGV, at)
seq = math.max(seq, last)
redis.call('HSET', meta, 'seq', seq, 'durable', ARGV[5], 'latest', ARGV[6])
return { 'OK', seq }
