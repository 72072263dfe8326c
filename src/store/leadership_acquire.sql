-- Takes a role that nobody else holds. $1 role; $2 holder; $3 length in seconds; $4 the holder's name. No row while another's
-- term lasts.
--
-- The question comes before the attempt, so that those who wait in vain lock and write nothing. A term that would last an hour
-- longer than this one was written while the clock was ahead: it is over.
INSERT INTO numbering.leaderships AS l (role, holder, term, expires_at, holder_name)
SELECT $1, $2, 1, clock_timestamp() + make_interval(secs => $3::float8), $4
WHERE NOT EXISTS (
    SELECT FROM numbering.leaderships other
    WHERE other.role = $1 AND other.holder <> $2 AND other.expires_at > clock_timestamp()
        AND other.expires_at <= clock_timestamp() + make_interval(secs => $3::float8 + 3600))
ON CONFLICT (role) DO UPDATE
SET holder = excluded.holder, holder_name = excluded.holder_name, term = l.term + 1,
    expires_at = clock_timestamp() + make_interval(secs => $3::float8)
WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
    OR l.expires_at > clock_timestamp() + make_interval(secs => $3::float8 + 3600)
RETURNING l.term
