-- A tenant's own numbers, by identifier. $1 tenant; $2 after this identifier; $3 states; $4 the most rows; $5 and $6 the
-- moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $5::timestamptz))::float8 <= $6::float8
                THEN clock_timestamp() ELSE $5 END AS at
)
SELECT n.*
FROM numbering.claims c
JOIN numbering.number_with_claim n ON n.identifier = c.identifier
WHERE c.tenant_id = $1 AND c.identifier > $2 AND c.state = ANY ($3) AND c.deadline > (SELECT m.at FROM moment m)
ORDER BY c.identifier
LIMIT $4
