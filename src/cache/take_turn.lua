-- Takes a turn of a rate limit, over all replicas (GCRA). KEYS[1] the caller's key; ARGV[1] the time between two turns at the
-- rate, ARGV[2] how much may be taken at once, as such time; both in microseconds. Redis's clock is the one clock.
--
-- What is kept is the moment at which all that was taken is paid off. Gives whether the turn is granted (1 or 0), how many more
-- would be right now, in how many microseconds the next one is (0 where it is now), and in how many all are again.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local paid = tonumber(redis.call('MGET', KEYS[1])[1] or now) or now
-- Not before now, and no later than it could have become: the clock may have gone back.
paid = math.min(math.max(paid, now), now + burst)
local after = paid + interval
if after - now > burst then
    return {0, 0, after - now - burst, paid - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', math.ceil((after - now) / 1000)))
local left = math.floor((burst - (after - now)) / interval)
local wait = 0
if left == 0 then
    wait = after + interval - now - burst
end
return {1, left, wait, after - now}
