-- Prolongs a term that is not over. $1 role; $2 holder; $3 term; $4 length from now in seconds.
UPDATE numbering.leaderships l
SET expires_at = clock_timestamp() + make_interval(secs => $4::float8)
WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
RETURNING l.term
