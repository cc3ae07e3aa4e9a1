-- Store an entry, and delete the oldest entries while all together are larger than the capacity. Release the lock.
-- KEYS: entry, lock, index, size
-- ARGV: token, content, seconds of the entry, capacity in bytes, overhead of an entry in bytes, seconds of the index
-- The index has a member "bytes key" per entry, with its time as the score. The size is the sum of these bytes. A member
-- may outlive its entry, and counts until it is the oldest: the bound holds, it is only reached earlier.
local bytes = #ARGV[2] + ARGV[5]
local now = redis.call('TIME')
if redis.call('EXISTS', KEYS[3]) == 0 then
    redis.call('DEL', KEYS[4])
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if redis.call('ZADD', KEYS[3], now[1] + now[2] / 1e6, bytes .. ' ' .. KEYS[1]) == 1 then
    redis.call('INCRBY', KEYS[4], bytes)
end
while tonumber(redis.call('GET', KEYS[4]) or 0) > tonumber(ARGV[4]) do
    local oldest = redis.call('ZPOPMIN', KEYS[3])[1]
    if not oldest then
        redis.call('DEL', KEYS[4])
        break
    end
    local cost, key = string.match(oldest, '^(%d+) (.*)$')
    redis.call('UNLINK', key)
    redis.call('DECRBY', KEYS[4], cost)
end
redis.call('EXPIRE', KEYS[3], ARGV[6])
redis.call('EXPIRE', KEYS[4], ARGV[6])
if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
end
