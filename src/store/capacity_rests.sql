-- On which days the numbers of every pool that rest come back, and those that are not valid yet become so.
SELECT c.identifier_class, c.operator_id, c.block_prefix, c.due, sum(c.numbers)::bigint AS numbers
FROM numbering.pool_counts c
WHERE (c.state = 'QUARANTINE' OR c.state = 'AVAILABLE' AND c.due > $1) AND c.numbers > 0
GROUP BY c.identifier_class, c.operator_id, c.block_prefix, c.due
ORDER BY c.identifier_class, c.operator_id, c.block_prefix, c.due
