-- Writes a lease snapshot, unless what is there is of the same moment or newer. KEYS[1] the key; ARGV[1] the entry,
-- ARGV[2] for how long, in milliseconds. Returns 1 when it wrote.
--
-- An entry begins with its format (1 byte), then the number's version and the moment it is of (8 bytes each, big-endian).
-- MGET gives nothing where the key has another type. What is there and cannot be read is overwritten.
local there = redis.call('MGET', KEYS[1])[1]
if there and #there >= 17 and string.byte(there) == string.byte(ARGV[1]) then
    local version, as_of = struct.unpack('>I8I8', there, 2)
    local new_version, new_as_of = struct.unpack('>I8I8', ARGV[1], 2)
    if version > new_version or (version == new_version and as_of >= new_as_of) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
