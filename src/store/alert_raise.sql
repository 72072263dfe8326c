-- Raises an alert, its event with it, unless one of this name is open about the subject already. One row where it is new.
-- $1 id; $2 name; $3 severity; $4 subject; $5 summary; $6 runbook; $7 event id; $8 actor; $9 request id.
WITH raised AS (
    INSERT INTO numbering.alerts (alert_id, name, severity, subject, summary, runbook)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name, subject) WHERE resolved_at IS NULL DO NOTHING
    RETURNING *
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id, at)
    SELECT r.name || '/' || r.subject, 'alert', $7, 'numbering.alert.raised',
           jsonb_build_object(
               'alertId', r.alert_id, 'name', r.name, 'severity', r.severity, 'subject', r.subject, 'summary', r.summary,
               'runbook', r.runbook,
               'raisedAt', to_char(r.raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
           $8, $9, r.raised_at
    FROM raised r
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING seq
