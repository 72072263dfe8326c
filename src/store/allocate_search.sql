-- A stretch of one range of what is AVAILABLE, in the order of identifiers, nothing locked.
--
-- $1 class; $2 eligibility for vanity; $3 operator or NULL; $4 and $5 the half-open range of identifiers; $6 a LIKE pattern or
-- NULL; $7 the tenant; $8 identifiers that are never leased; $9 the most to find; $10 how many to look at; $11 and $12 the moment
-- that is expected, and by how many seconds PostgreSQL's clock may be off it.
-- Always one row: where to go on, which is $5 where the range is at its end, and what was found that the tenant may take.
--
-- The range is one of numbers_available or of numbers_available_of_operator, bounded and sorted by all of the index's columns; see
-- browse.sql for why. What comes next after an identifier is no less than that identifier and a space, the first of all
-- characters that identifiers have.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $11::timestamptz))::float8 <= $12::float8
                THEN clock_timestamp() ELSE $11 END AS at
),
stretch AS MATERIALIZED (
    (SELECT a.identifier, a.valid_from, a.bars FROM numbering.numbers a
     WHERE $3::text IS NULL AND a.state = 'AVAILABLE'
        AND (a.identifier_class, a.vanity_eligible, a.identifier) >= ($1::text, $2::boolean, $4::text)
        AND (a.identifier_class, a.vanity_eligible, a.identifier) < ($1, $2, $5::text)
     ORDER BY a.identifier_class, a.vanity_eligible, a.identifier
     LIMIT $10)
    UNION ALL
    (SELECT a.identifier, a.valid_from, a.bars FROM numbering.numbers a
     WHERE $3 IS NOT NULL AND a.state = 'AVAILABLE'
        AND (a.operator_id, a.vanity_eligible, a.identifier) >= ($3, $2, $4)
        AND (a.operator_id, a.vanity_eligible, a.identifier) < ($3, $2, $5)
     ORDER BY a.operator_id, a.vanity_eligible, a.identifier
     LIMIT $10)
)
SELECT CASE WHEN count(*) = $10 THEN max(s.identifier) || ' ' ELSE $5 END AS ends,
       ARRAY(
           SELECT f.identifier FROM stretch f
           WHERE ($6::text IS NULL OR f.identifier LIKE $6)
               AND f.identifier <> ALL ($8::text[])
               AND (f.valid_from IS NULL OR f.valid_from <= (SELECT m.at FROM moment m))
               AND (f.bars = '[]' OR NOT EXISTS (
                   SELECT FROM jsonb_to_recordset(f.bars) AS bar (tenant text, until timestamptz)
                   WHERE bar.tenant = $7::text AND bar.until > (SELECT m.at FROM moment m)))
           LIMIT $9) AS found
FROM stretch s
