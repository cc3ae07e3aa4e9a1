-- Add the cost of a request to a counter whose window starts with the first request. Return the count, and the
-- milliseconds until the window ends.
-- KEYS: counter    ARGV: cost, window in milliseconds
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local ttl = redis.call('PTTL', KEYS[1])
if ttl < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    ttl = tonumber(ARGV[2])
end
return {count, ttl}
