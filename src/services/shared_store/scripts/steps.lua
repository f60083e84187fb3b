#!lua flags=allow-oom
-- Writes what the callback service keeps: all steps or none, each group of steps once and in order. A full store takes them,
-- since the cursor must go on for anything to be pruned.
--
-- KEYS  1 meta  2 schedules (user to record)  3 turns (by due time)  4 late by place  5 late by user  6 dead by place
-- ARGV  1 owner  2 epoch  3 number of this group of steps; then for each step its word and what it needs:
--       cursor PLACE | late PLACE BY_PLACE BY_USER | done BY_PLACE BY_USER | schedule USER AT RECORD | unschedule USER
--       bury PLACE RECORD | unbury PLACE
-- Gives OK, number, how many callbacks are late, how many dead | FENCED, owner, epoch | BEHIND, last number
local was = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'steps', 'cursor')
if was[1] ~= ARGV[1] or was[2] ~= ARGV[2] then
  return { 'FENCED', was[1] or '', was[2] or '0' }
end
local taken, number = tonumber(was[3] or '0'), tonumber(ARGV[3])
if taken >= number then
  redis.call('HINCRBY', KEYS[1], 'looks', 1)
  return { 'OK', taken, redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[6]) }
end
if taken ~= number - 1 then
  return { 'BEHIND', taken }
end

local at = 4
local function take()
  at = at + 1
  return ARGV[at - 1]
end
local steps = {
  cursor = function()
    redis.call('HSET', KEYS[1], 'cursor', take())
  end,
  late = function()
    local place, by_place, by_user = take(), take(), take()
    redis.call('ZADD', KEYS[4], place, by_place)
    redis.call('ZADD', KEYS[5], 0, by_user)
  end,
  done = function()
    redis.call('ZREM', KEYS[4], take())
    redis.call('ZREM', KEYS[5], take())
  end,
  schedule = function()
    local user, due, record = take(), take(), take()
    redis.call('HSET', KEYS[2], user, record)
    redis.call('ZADD', KEYS[3], due, user)
  end,
  unschedule = function()
    local user = take()
    redis.call('HDEL', KEYS[2], user)
    redis.call('ZREM', KEYS[3], user)
  end,
  bury = function()
    local place, record = take(), take()
    redis.call('ZREMRANGEBYSCORE', KEYS[6], place, place)
    redis.call('ZADD', KEYS[6], place, record)
  end,
  unbury = function()
    local place = take()
    redis.call('ZREMRANGEBYSCORE', KEYS[6], place, place)
  end,
}
while at <= #ARGV do
  steps[take()]()
end
redis.call('HSET', KEYS[1], 'steps', number)
return { 'OK', number, redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[6]) }
