-- Notes that the effect of an event is begun, once more where it was begun before and is not done. $1 source; $2 event id; $3 type.
-- Gives how many times it was begun, whether it is done already, and what time it is.
INSERT INTO numbering.inbox AS i (source, event_id, type) VALUES ($1, $2, $3)
ON CONFLICT (source, event_id) DO UPDATE
SET attempts = i.attempts + CASE WHEN i.done_at IS NULL THEN 1 ELSE 0 END
RETURNING i.attempts, i.done_at IS NOT NULL AS done, clock_timestamp() AS now
