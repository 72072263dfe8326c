-- A stretch of what a tenant may take now, in the order of identifiers.
--
-- $1 classes, and for each $5 and $6 the half-open range of its identifiers and $10 a LIKE pattern or NULL; $2 eligibilities
-- for vanity; $3 operator or NULL for all; $4 after this identifier; $7 the tenant or NULL; $8 identifiers that are never
-- leased; $9 how many numbers to look at, and $11 how many to give; $12 the plan of a tenant that was never seen, or NULL where
-- none is asked for; $13 and $14 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it. Gives of
-- those looked at the first that match, with the tenant's price, and the last one of all; `looked_at` says how many there were.
--
-- Each branch is one range of one index, so that nothing is read to be left out but what is not offered yet, or barred. It is
-- bounded and sorted by all of the index's columns: by the identifier alone the primary key would look as good to the planner,
-- and that has the numbers that are taken too. Time counts at use: what has run out and has not been written down is offered
-- too; of that there is little at any time. What is on the page is looked up number by number, which the LIMIT 1 says: for minutes
-- after an import the planner knows the pool of before, and would read all of the primary key beside a page.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $13::timestamptz))::float8 <= $14::float8
                THEN clock_timestamp() ELSE $13 END AS at
),
standing AS (
    SELECT t.operator_allowlist AS allowed, t.plan FROM numbering.tenants t WHERE t.tenant_id = $7
),
operators AS (
    SELECT o.operator
    FROM unnest(coalesce((SELECT s.allowed FROM standing s), ARRAY[$3::text])) AS o (operator)
    WHERE $3 IS NULL OR o.operator = $3
),
restricted AS (
    SELECT $3 IS NOT NULL OR EXISTS (SELECT FROM standing s WHERE s.allowed IS NOT NULL) AS to_operators
),
classes AS (
    SELECT c.class, greatest(c.first, $4) AS first, c.beyond, c.pattern
    FROM unnest($1::text[], $5::text[], $6::text[], $10::text[]) AS c (class, first, beyond, pattern)
),
branches AS (
    SELECT c.*, v.eligible, NULL AS operator
    FROM classes c CROSS JOIN unnest($2::boolean[]) AS v (eligible) CROSS JOIN restricted r
    WHERE NOT (r.to_operators AND c.class = 'MSISDN')
    UNION ALL
    SELECT c.*, v.eligible, o.operator
    FROM classes c CROSS JOIN operators o CROSS JOIN unnest($2::boolean[]) AS v (eligible) CROSS JOIN restricted r
    WHERE r.to_operators AND c.class = 'MSISDN'
),
overdue AS (
    SELECT c.identifier FROM numbering.claims c
    WHERE c.state IN ('RESERVED', 'HELD') AND c.deadline <= (SELECT m.at FROM moment m)
    UNION ALL
    SELECT n.identifier FROM numbering.numbers n
    WHERE n.state = 'QUARANTINE' AND n.deadline <= (SELECT m.at FROM moment m)
),
pool AS (
    SELECT n.identifier, b.pattern
    FROM branches b
    CROSS JOIN LATERAL (
        (SELECT a.identifier FROM numbering.numbers a
         WHERE b.operator IS NULL AND a.state = 'AVAILABLE' AND a.identifier <> $4
            AND (a.identifier_class, a.vanity_eligible, a.identifier) >= (b.class, b.eligible, b.first)
            AND (a.identifier_class, a.vanity_eligible, a.identifier) < (b.class, b.eligible, b.beyond)
            AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
            AND (a.bars = '[]' OR NOT EXISTS (
                SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
                WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
         ORDER BY a.identifier_class, a.vanity_eligible, a.identifier
         LIMIT $9)
        UNION ALL
        (SELECT a.identifier FROM numbering.numbers a
         WHERE b.operator IS NOT NULL AND a.state = 'AVAILABLE' AND a.identifier <> $4
            AND (a.operator_id, a.vanity_eligible, a.identifier) >= (b.operator, b.eligible, b.first)
            AND (a.operator_id, a.vanity_eligible, a.identifier) < (b.operator, b.eligible, b.beyond)
            AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
            AND (a.bars = '[]' OR NOT EXISTS (
                SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
                WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
         ORDER BY a.operator_id, a.vanity_eligible, a.identifier
         LIMIT $9)
    ) AS n
    UNION ALL
    SELECT a.identifier, b.pattern
    FROM overdue o
    CROSS JOIN LATERAL (SELECT n.* FROM numbering.numbers n WHERE n.identifier = o.identifier LIMIT 1) AS a
    JOIN branches b ON b.class = a.identifier_class AND b.eligible = a.vanity_eligible
        AND (b.operator IS NULL OR b.operator = a.operator_id)
    WHERE a.state IN ('RESERVED', 'HELD', 'QUARANTINE') AND a.deadline <= (SELECT m.at FROM moment m)
        AND a.identifier >= b.first AND a.identifier < b.beyond AND a.identifier <> $4
        AND (a.valid_from IS NULL OR a.valid_from <= (SELECT m.at FROM moment m))
        AND (a.bars = '[]' OR NOT EXISTS (
            SELECT FROM jsonb_to_recordset(a.bars) AS bar (tenant text, until timestamptz)
            WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m)))
),
looked_at AS MATERIALIZED (
    SELECT p.identifier, p.pattern IS NULL OR p.identifier LIKE p.pattern AS matches
    FROM pool p
    WHERE p.identifier <> ALL ($8)
    ORDER BY p.identifier
    LIMIT $9
),
stretch AS (
    SELECT count(*) AS looked_at, max(l.identifier) AS last FROM looked_at l
),
found AS (
    SELECT l.identifier FROM looked_at l WHERE l.matches ORDER BY l.identifier LIMIT $11
),
given AS (
    SELECT f.identifier, true AS matches FROM found f
    UNION ALL
    SELECT s.last, false FROM stretch s
    WHERE s.last IS NOT NULL AND NOT EXISTS (SELECT FROM found f WHERE f.identifier = s.last)
)
SELECT n.identifier, n.identifier_class, n.shown, n.operator_id, n.vanity_eligible,
       p.amount::text AS list_amount, p.currency AS list_currency, p.per AS list_per,
       g.matches, stretch.looked_at
FROM given g
CROSS JOIN stretch
CROSS JOIN moment
LEFT JOIN standing ON true
CROSS JOIN LATERAL (
    SELECT a.identifier, a.identifier_class, a.shown, a.operator_id, a.vanity_eligible, a.price_tier
    FROM numbering.numbers a WHERE a.identifier = g.identifier LIMIT 1) n
LEFT JOIN LATERAL numbering.price_for(
    n.identifier_class, n.price_tier, coalesce(standing.plan, $12::text), n.operator_id, moment.at) p ON g.matches
ORDER BY n.identifier
