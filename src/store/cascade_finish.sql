-- Finishes an unfinished cascade, with its counts as the journal has them; no row where it is finished already, or is to be
-- DONE while its tenant has something left. $1 cascade; $2 the state that it ends in.
UPDATE numbering.cascades c
SET state = $2, finished_at = clock_timestamp(), recalled = taken.recalled, released = taken.released
FROM (
    SELECT count(*) FILTER (WHERE j.type = 'numbering.lease.recalled')::integer AS recalled,
           count(*) FILTER (WHERE j.type = 'numbering.reservation.released')::integer AS released
    FROM numbering.journal j
    WHERE j.actor = 'compliance'
        AND j.data ->> 'tenantId' = (SELECT own.tenant_id FROM numbering.cascades own WHERE own.cascade_id = $1)
        AND j.request_id = (SELECT own.event_id FROM numbering.cascades own WHERE own.cascade_id = $1)
) AS taken
WHERE c.cascade_id = $1 AND c.state IN ('AWAITING_CONFIRMATION', 'RUNNING')
    AND ($2 <> 'DONE' OR NOT EXISTS (SELECT FROM numbering.claims k WHERE k.tenant_id = c.tenant_id))
RETURNING c.cascade_id
