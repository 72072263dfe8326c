-- Puts counts that were made anew in the place of those that were kept. $1 to $3 role, holder and term; $4 the snapshot that they were
-- made at, which the kept ones must stand at; $5 the operator, or ''; $6 its prefixes; $7 class; $8 the moment; $9 to $12
-- prefixes, states, when they are due, and how many. Gives by how many numbers the kept counts were wrong, where they were
-- to be right; no row where the role is over, or the kept ones stand elsewhere.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
stands AS MATERIALIZED (
    SELECT p.only_one FROM numbering.pool_position p
    WHERE p.seen::text = $4 AND EXISTS (SELECT FROM role)
    FOR NO KEY UPDATE
),
found AS MATERIALIZED (
    SELECT f.block_prefix, f.state, f.due, f.numbers
    FROM unnest($9::text[], $10::text[], $11::text[]::timestamptz[], $12::bigint[]) AS f (block_prefix, state, due, numbers)
    WHERE EXISTS (SELECT FROM stands)
),
kept AS MATERIALIZED (
    SELECT c.block_prefix, c.state, c.due, c.numbers FROM numbering.pool_counts c
    WHERE c.identifier_class = $7 AND c.operator_id = $5 AND EXISTS (SELECT FROM stands)
),
drift AS MATERIALIZED (
    SELECT coalesce(sum(abs(coalesce(k.numbers, 0) - coalesce(f.numbers, 0))), 0)::bigint AS numbers
    FROM kept k FULL JOIN found f ON f.block_prefix = k.block_prefix AND f.state = k.state AND f.due = k.due
    WHERE EXISTS (
        SELECT FROM numbering.pool_operators o
        WHERE o.operator_id = $5 AND o.prefixes = $6::text[] AND NOT o.stale)
),
gone AS (
    DELETE FROM numbering.pool_counts c
    WHERE c.identifier_class = $7 AND c.operator_id = $5 AND EXISTS (SELECT FROM stands)
        AND NOT EXISTS (
            SELECT FROM found f WHERE f.block_prefix = c.block_prefix AND f.state = c.state AND f.due = c.due)
),
put AS (
    INSERT INTO numbering.pool_counts (identifier_class, operator_id, block_prefix, state, due, numbers)
    SELECT $7, $5, f.block_prefix, f.state, f.due, f.numbers FROM found f
    ON CONFLICT (identifier_class, operator_id, block_prefix, state, due) DO UPDATE SET numbers = excluded.numbers
),
followed AS (
    INSERT INTO numbering.pool_operators AS o (operator_id, prefixes, followed_since, counted_at)
    SELECT $5, $6::text[], $8, $8 FROM stands
    ON CONFLICT (operator_id) DO UPDATE SET prefixes = excluded.prefixes, counted_at = excluded.counted_at, stale = false
)
SELECT d.numbers AS drift FROM stands CROSS JOIN drift d
