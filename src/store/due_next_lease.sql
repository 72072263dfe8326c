-- In how many seconds the next lease ends; NULL where there is none. $1 and $2 the moment that is expected, and by how many
-- seconds PostgreSQL's clock may be off it.
SELECT extract(epoch FROM next.deadline - CASE
           WHEN abs(extract(epoch FROM clock_timestamp() - $1::timestamptz))::float8 <= $2::float8
           THEN clock_timestamp() ELSE $1 END)::float8
FROM (SELECT min(c.deadline) AS deadline FROM numbering.claims c WHERE c.state IN ('LEASED', 'SUSPENDED')) AS next
