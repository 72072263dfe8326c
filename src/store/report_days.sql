-- The days (UTC) before $2 that have no report of the name $1, oldest first: those since the journal's first entry, $3 of them back
-- at most.
SELECT past.day::date
FROM (SELECT (j.at AT TIME ZONE 'UTC')::date AS began FROM numbering.journal j ORDER BY j.seq LIMIT 1) AS journal
CROSS JOIN LATERAL generate_series(
    greatest(journal.began, $2::date - $3::integer)::timestamp, ($2::date - 1)::timestamp, interval '1 day') AS past (day)
WHERE NOT EXISTS (
    SELECT FROM numbering.journal r
    WHERE r.subject = $1 || '/' || to_char(past.day, 'YYYY-MM-DD') AND r.subject_kind = 'report' AND r.version = 1)
ORDER BY past.day
