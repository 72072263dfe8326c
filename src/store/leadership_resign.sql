-- Ends a term now. $1 role; $2 holder; $3 term.
UPDATE numbering.leaderships l
SET expires_at = clock_timestamp()
WHERE l.role = $1 AND l.holder = $2 AND l.term = $3
