-- Cascades, newest first. $1 before this one, or NULL; $2 the most rows.
SELECT c.* FROM numbering.cascade_progress c
WHERE $1::uuid IS NULL OR c.cascade_id < $1
ORDER BY c.cascade_id DESC
LIMIT $2
