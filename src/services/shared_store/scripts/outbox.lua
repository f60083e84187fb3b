#!lua flags=no-writes
-- Reads what the callback service keeps, and what the partition's meta is at the same moment.
--
-- KEYS  1 meta  2 schedules (user to record)  3 turns (by due time)  4 late by place  5 late by user  6 dead by place
-- ARGV  1 what is read, and what it needs:
--       turns DUE FAR COUNT | turn USER | late AFTER COUNT | late-of FIRST LAST COUNT | dead AFTER COUNT | counts
-- Gives the meta's fields, each with its value; and
--       of turns: the first and the last time of all, or nothing; users due up to DUE, then those due from FAR on, with records
--       of a turn: its record, or nothing | of late ones: members | of dead ones: records with places | how many are late, dead
local reads = {
  turns = function(due, far, count)
    local first, last = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES'), redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
    local users = redis.call('ZRANGE', KEYS[3], '-inf', due, 'BYSCORE', 'LIMIT', 0, count)
    local more = redis.call('ZRANGE', KEYS[3], far, '+inf', 'BYSCORE', 'LIMIT', 0, count - #users)
    local answer = { first[2] or '', last[2] or '' }
    for _, some in ipairs({ users, more }) do
      for _, user in ipairs(some) do
        answer[#answer + 1] = user
        answer[#answer + 1] = redis.call('HGET', KEYS[2], user) or ''
      end
    end
    return answer
  end,
  turn = function(user)
    return { redis.call('HGET', KEYS[2], user) or '' }
  end,
  late = function(after, count)
    return redis.call('ZRANGE', KEYS[4], '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, count)
  end,
  ['late-of'] = function(first, last, count)
    return redis.call('ZRANGE', KEYS[5], '[' .. first, '[' .. last, 'BYLEX', 'LIMIT', 0, count)
  end,
  dead = function(after, count)
    return redis.call('ZRANGE', KEYS[6], '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, count, 'WITHSCORES')
  end,
  counts = function()
    return { redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[6]) }
  end,
}
return { redis.call('HGETALL', KEYS[1]), reads[ARGV[1]](ARGV[2], ARGV[3], ARGV[4]) }
