-- Numbers whose rest is over, the longest overdue first. $1 the most rows; $2 and $3 the moment that is
-- expected, and by how many seconds PostgreSQL's clock may be off it; $4 and $5 deadline and identifier of the one that they come after, or
-- NULLs for the first.
--
-- The clock is asked once, in a subquery: only then is it a condition of the index, and not of every entry that it has.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $2::timestamptz))::float8 <= $3::float8
                THEN clock_timestamp() ELSE $2 END AS at
)
SELECT m.at AS now, n.*
FROM moment m
CROSS JOIN (
    SELECT r.deadline, r.identifier FROM numbering.numbers r
    WHERE r.state = 'QUARANTINE' AND r.deadline <= (SELECT m.at FROM moment m)
        AND (r.deadline, r.identifier) > (coalesce($4::timestamptz, '-infinity'), coalesce($5::text, ''))
    ORDER BY r.deadline, r.identifier
    LIMIT $1
) AS due
JOIN numbering.number_with_claim n ON n.identifier = due.identifier
ORDER BY due.deadline, due.identifier
