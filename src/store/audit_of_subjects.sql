-- The audit trail of some subjects, newest first. $1 subjects; $2 type or NULL; $3 actor or NULL; $4 tenant or NULL; $5 from and
-- $6 to (exclusive) or NULLs; $7 before this entry; $8 the most rows.
--
-- Of each subject one range of the primary key, bounded and sorted by both its columns: by the place alone the index of places
-- would look as good to the planner where it takes a subject for a common one, and that has everybody's entries.
SELECT e.seq, e.subject, e.version, e.type, e.at, e.actor, e.request_id, e.data
FROM (SELECT DISTINCT a.subject FROM unnest($1::text[]) AS a (subject)) AS s
CROSS JOIN LATERAL (
    SELECT j.seq, j.subject, j.version, j.type, j.at, j.actor, j.request_id, j.data
    FROM numbering.journal j
    WHERE (j.subject, j.seq) >= (s.subject, 0) AND (j.subject, j.seq) < (s.subject, $7::bigint)
      AND ($2::text IS NULL OR j.type = $2)
      AND ($3::text IS NULL OR j.actor = $3)
      AND ($4::text IS NULL OR j.data ->> 'tenantId' = $4)
      AND ($5::timestamptz IS NULL OR j.at >= $5)
      AND ($6::timestamptz IS NULL OR j.at < $6)
    ORDER BY j.subject DESC, j.seq DESC
    LIMIT $8) AS e
ORDER BY e.seq DESC
LIMIT $8
