-- Lets a cascade go on that waits to be confirmed; no row where it does not. $1 cascade.
UPDATE numbering.cascades c
SET state = 'RUNNING'
WHERE c.cascade_id = $1 AND c.state = 'AWAITING_CONFIRMATION'
RETURNING c.cascade_id
