-- Marks a begun event as done, in the commit of its effect; no row where it is done already. $1 source; $2 event id.
UPDATE numbering.inbox i
SET done_at = clock_timestamp()
WHERE i.source = $1 AND i.event_id = $2 AND i.done_at IS NULL
RETURNING i.attempts
