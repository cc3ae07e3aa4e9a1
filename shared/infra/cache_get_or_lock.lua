-- The entry if it is there; else 1 if the caller is the one to make it, 0 if somebody else is at it. Counts the look.
-- KEYS: entry, lock, counts, owner's counts    ARGV: token, lock's milliseconds, cache's name, counts' seconds
local found = redis.call('GET', KEYS[1])
local field = ARGV[3] .. (found and ':hit' or ':miss')
for i = 3, 4 do
    redis.call('HINCRBY', KEYS[i], field, 1)
    redis.call('EXPIRE', KEYS[i], ARGV[4])
end
if found then
    return found
end
return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
