-- Locks the first $2 of these numbers ($1) that are still to be had and that nobody else has locked, in the order given; waits
-- for nobody, so the order does not matter to others. $3 and $4 the moment that is expected, and by how many seconds PostgreSQL's
-- clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $3::timestamptz))::float8 <= $4::float8
                THEN clock_timestamp() ELSE $3 END AS at
)
SELECT n.identifier
FROM unnest($1::text[]) WITH ORDINALITY AS asked (identifier, place)
JOIN numbering.numbers n ON n.identifier = asked.identifier
WHERE n.state = 'AVAILABLE'
    OR (n.state IN ('RESERVED', 'HELD', 'QUARANTINE') AND n.deadline <= (SELECT m.at FROM moment m))
ORDER BY asked.place
LIMIT $2
FOR NO KEY UPDATE OF n SKIP LOCKED
