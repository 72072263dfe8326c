-- On which days the numbers of every pool that rest come back, and when those that are not valid after $1 become so.
SELECT c.identifier_class, c.operator_id, c.block_prefix, c.due, c.state = 'QUARANTINE' AS rests, c.numbers
FROM numbering.pool_counts c
WHERE (c.state = 'QUARANTINE' OR c.state = 'AVAILABLE' AND c.due > $1) AND c.numbers > 0
ORDER BY c.identifier_class, c.operator_id, c.block_prefix, c.due
