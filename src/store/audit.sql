-- The audit trail of all subjects, newest first. $1 type or NULL; $2 actor or NULL; $3 tenant or NULL; $4 from and $5 to
-- (exclusive) or NULLs; $6 before this entry; $7 the most rows.
SELECT j.seq, j.subject, j.version, j.type, j.at, j.actor, j.request_id, j.data
FROM numbering.journal j
WHERE j.seq < $6
  AND ($1::text IS NULL OR j.type = $1)
  AND ($2::text IS NULL OR j.actor = $2)
  AND ($3::text IS NULL OR j.data ->> 'tenantId' = $3)
  AND ($4::timestamptz IS NULL OR j.at >= $4)
  AND ($5::timestamptz IS NULL OR j.at < $5)
ORDER BY j.seq DESC
LIMIT $7
