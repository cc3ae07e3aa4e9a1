-- Count one more request, or as many as it costs, in a window that begins with the first. How many there are, and the
-- milliseconds until the window ends.
-- KEYS: counter    ARGV: cost, the window's milliseconds
local spent = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    left = tonumber(ARGV[2])
end
return {spent, left}
