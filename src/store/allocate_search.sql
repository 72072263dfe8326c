-- A stretch of one range of what is AVAILABLE, in the order of identifiers, nothing locked.
--
-- $1 class; $2 eligibility for vanity; $3 operator or NULL; $4 and $5 the half-open range of identifiers; $6 a LIKE pattern or
-- NULL; $7 the tenant; $8 identifiers that are never leased; $9 the most to find; $10 how many to look at; $11 and $12 the moment
-- that is expected, and by how many seconds PostgreSQL's clock may be off it.
-- Always one row: where the stretch ended, which is $5 where the range did, and what it found that the tenant may take.
--
-- The range is one of numbers_available or of numbers_available_of_operator, bounded and sorted by all of the index's columns; see
-- browse.sql for why.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $11::timestamptz))::float8 <= $12::float8
                THEN clock_timestamp() ELSE $11 END AS at
),
stretch AS MATERIALIZED (
    SELECT coalesce(
        CASE WHEN $3::text IS NULL THEN (
            SELECT a.identifier FROM numbering.numbers a
            WHERE a.state = 'AVAILABLE'
                AND (a.identifier_class, a.vanity_eligible, a.identifier) >= ($1::text, $2::boolean, $4::text)
                AND (a.identifier_class, a.vanity_eligible, a.identifier) < ($1, $2, $5::text)
            ORDER BY a.identifier_class, a.vanity_eligible, a.identifier
            OFFSET $10 LIMIT 1)
        ELSE (
            SELECT a.identifier FROM numbering.numbers a
            WHERE a.state = 'AVAILABLE'
                AND (a.operator_id, a.vanity_eligible, a.identifier) >= ($3, $2, $4)
                AND (a.operator_id, a.vanity_eligible, a.identifier) < ($3, $2, $5)
            ORDER BY a.operator_id, a.vanity_eligible, a.identifier
            OFFSET $10 LIMIT 1)
        END, $5) AS ends
),
found AS (
    (SELECT a.identifier FROM numbering.numbers a
     WHERE $3 IS NULL AND a.state = 'AVAILABLE'
        AND (a.identifier_class, a.vanity_eligible, a.identifier) >= ($1, $2, $4)
        AND (a.identifier_class, a.vanity_eligible, a.identifier) < ($1, $2, (SELECT s.ends FROM stretch s))
        AND ($6::text IS NULL OR a.identifier LIKE $6)
        AND a.identifier <> ALL ($8)
        AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
        AND (a.bars = '[]' OR NOT EXISTS (
            SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
            WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
     ORDER BY a.identifier_class, a.vanity_eligible, a.identifier
     LIMIT $9)
    UNION ALL
    (SELECT a.identifier FROM numbering.numbers a
     WHERE $3 IS NOT NULL AND a.state = 'AVAILABLE'
        AND (a.operator_id, a.vanity_eligible, a.identifier) >= ($3, $2, $4)
        AND (a.operator_id, a.vanity_eligible, a.identifier) < ($3, $2, (SELECT s.ends FROM stretch s))
        AND ($6 IS NULL OR a.identifier LIKE $6)
        AND a.identifier <> ALL ($8)
        AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
        AND (a.bars = '[]' OR NOT EXISTS (
            SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
            WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
     ORDER BY a.operator_id, a.vanity_eligible, a.identifier
     LIMIT $9)
)
SELECT s.ends, ARRAY(SELECT f.identifier FROM found f) AS found FROM stretch s
