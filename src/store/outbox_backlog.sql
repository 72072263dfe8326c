-- How many entries wait, of which at most $1 are counted, and the age of the first.
SELECT (SELECT count(*) FROM (SELECT FROM numbering.outbox LIMIT $1) AS waiting) AS entries,
       coalesce((
           SELECT extract(epoch FROM clock_timestamp() - j.at)::float8
           FROM (SELECT o.subject, o.seq FROM numbering.outbox o ORDER BY o.seq LIMIT 1) AS first
           JOIN numbering.journal j ON j.subject = first.subject AND j.seq = first.seq
       ), 0) AS oldest_age_seconds
