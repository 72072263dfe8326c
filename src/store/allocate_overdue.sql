-- What has run out and has not been written down: it is available too, and of that there is little at any time.
--
-- $1 class; $2 eligibilities for vanity; $3 operators or NULL for all; $4 and $5 the half-open range of identifiers; $6 a LIKE
-- pattern or NULL; $7 the tenant; $8 identifiers that are never leased; $9 the most to find; $10 and $11 the moment that is
-- expected, and by how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $10::timestamptz))::float8 <= $11::float8
                THEN clock_timestamp() ELSE $10 END AS at
),
overdue AS (
    SELECT c.identifier FROM numbering.claims c
    WHERE c.state IN ('RESERVED', 'HELD') AND c.deadline <= (SELECT m.at FROM moment m)
    UNION ALL
    SELECT n.identifier FROM numbering.numbers n
    WHERE n.state = 'QUARANTINE' AND n.deadline <= (SELECT m.at FROM moment m)
)
SELECT a.identifier
FROM overdue o
JOIN numbering.numbers a ON a.identifier = o.identifier
WHERE a.state IN ('RESERVED', 'HELD', 'QUARANTINE') AND a.deadline <= (SELECT m.at FROM moment m)
    AND a.identifier_class = $1 AND a.vanity_eligible = ANY ($2::boolean[])
    AND ($3::text[] IS NULL OR a.operator_id = ANY ($3))
    AND a.identifier >= $4::text AND a.identifier < $5::text
    AND ($6::text IS NULL OR a.identifier LIKE $6)
    AND a.identifier <> ALL ($8::text[])
    AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
    AND (a.bars = '[]' OR NOT EXISTS (
        SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
        WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
ORDER BY a.identifier
LIMIT $9
