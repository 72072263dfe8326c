-- A tenant's claims and leases that time has ended and nobody has written down yet.
-- $1 tenant; $2 the most rows; $3 and $4 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $3::timestamptz))::float8 <= $4::float8
                THEN clock_timestamp() ELSE $3 END AS at
)
SELECT m.at AS now, n.*
FROM moment m
CROSS JOIN numbering.claims c
JOIN numbering.number_with_claim n ON n.identifier = c.identifier
WHERE c.tenant_id = $1 AND c.deadline <= (SELECT m.at FROM moment m)
ORDER BY n.identifier
LIMIT $2
