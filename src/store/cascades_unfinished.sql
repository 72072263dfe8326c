-- Cascades in this unfinished state, oldest first. $1 state; $2 the most rows.
SELECT c.* FROM numbering.cascade_progress c
WHERE c.state = $1 AND c.state IN ('AWAITING_CONFIRMATION', 'RUNNING')
ORDER BY c.cascade_id
LIMIT $2
