-- Whether cascades have something to do: one runs; one waits that no open alert tells of; or an open alert tells of one that
-- does not wait. $1 the alert's name; its subject is the cascade.
SELECT EXISTS (SELECT FROM numbering.cascades c WHERE c.state = 'RUNNING')
    OR EXISTS (
        SELECT FROM numbering.cascades c
        WHERE c.state = 'AWAITING_CONFIRMATION' AND NOT EXISTS (
            SELECT FROM numbering.alerts a
            WHERE a.name = $1 AND a.subject = c.cascade_id::text AND a.resolved_at IS NULL))
    OR EXISTS (
        SELECT FROM numbering.alerts a
        WHERE a.name = $1 AND a.resolved_at IS NULL AND NOT EXISTS (
            SELECT FROM numbering.cascades c
            WHERE c.state = 'AWAITING_CONFIRMATION' AND c.cascade_id::text = a.subject))
    AS due
