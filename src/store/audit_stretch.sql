-- A stretch of the audit trail, newest first: of the $7 entries before the place $6 (exclusive), those that match, $8 at most.
-- $1 type or NULL; $2 actor or NULL; $3 tenant or NULL; $4 from and $5 to (exclusive) or NULLs. So many entries are looked at and no
-- more, whatever is looked for.
SELECT j.seq, j.subject, j.version, j.type, j.at, j.actor, j.request_id, j.data
FROM numbering.journal j
WHERE j.seq < $6 AND j.seq >= $6 - $7::bigint
  AND ($1::text IS NULL OR j.type = $1)
  AND ($2::text IS NULL OR j.actor = $2)
  AND ($3::text IS NULL OR j.data ->> 'tenantId' = $3)
  AND ($4::timestamptz IS NULL OR j.at >= $4)
  AND ($5::timestamptz IS NULL OR j.at < $5)
ORDER BY j.seq DESC
LIMIT $8
