-- Forgets the attempts at an event that was given up, so that it may be sent again. $1 source; $2 event id.
DELETE FROM numbering.inbox i WHERE i.source = $1 AND i.event_id = $2 AND i.done_at IS NULL
