-- $1 the block, $2 the line to go on after, $3 how many.
SELECT r.line, r.value, r.reason
FROM numbering.block_rejects r
WHERE r.block_id = $1 AND r.line > $2
ORDER BY r.line
LIMIT $3
