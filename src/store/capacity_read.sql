-- Every pool's counts by state, with the snapshot that they stand at: one row for a state of a pool, or one
-- without a pool where there is none. `waiting` of these are not valid
-- before a moment after $1.
SELECT p.seen::text AS seen, c.identifier_class, c.operator_id, c.block_prefix, c.state,
       coalesce(sum(c.numbers), 0)::bigint AS numbers,
       coalesce(sum(c.numbers) FILTER (WHERE c.state = 'AVAILABLE' AND c.due > $1), 0)::bigint AS waiting
FROM numbering.pool_position p LEFT JOIN numbering.pool_counts c ON true
GROUP BY p.seen::text, c.identifier_class, c.operator_id, c.block_prefix, c.state
ORDER BY c.identifier_class, c.operator_id, c.block_prefix, c.state
