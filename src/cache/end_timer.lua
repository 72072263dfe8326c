-- Removes the timer of one reservation. KEYS[1] the key; ARGV[1] the reservation. A newer reservation's timer stays.
if redis.call('MGET', KEYS[1])[1] == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
