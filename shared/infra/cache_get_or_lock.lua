-- Return the entry. If there is none, return 1 if the caller must create it, 0 if another caller does. Count the lookup.
-- KEYS: entry, lock, counts, owner's counts
-- ARGV: token, milliseconds of the lock, name of the cache, seconds of the counts
local entry = redis.call('GET', KEYS[1])
local field = ARGV[3] .. (entry and ':hit' or ':miss')
for i = 3, 4 do
    redis.call('HINCRBY', KEYS[i], field, 1)
    redis.call('EXPIRE', KEYS[i], ARGV[4])
end
if entry then
    return entry
end
return redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
