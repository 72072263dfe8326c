-- The audit trail of some subjects, newest first. $1 subjects; $2 type or NULL; $3 actor or NULL; $4 tenant or NULL; $5 from and
-- $6 to (exclusive) or NULLs; $7 before this entry; $8 the most rows.
SELECT j.seq, j.subject, j.version, j.type, j.at, j.actor, j.request_id, j.data
FROM numbering.journal j
WHERE j.subject = ANY ($1::text[])
  AND ($2::text IS NULL OR j.type = $2)
  AND ($3::text IS NULL OR j.actor = $3)
  AND ($4::text IS NULL OR j.data ->> 'tenantId' = $4)
  AND ($5::timestamptz IS NULL OR j.at >= $5)
  AND ($6::timestamptz IS NULL OR j.at < $6)
  AND j.seq < $7
ORDER BY j.seq DESC
LIMIT $8
