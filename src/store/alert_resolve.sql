-- Resolves the open alert of this name about the subject, its event with it. One row where there was one.
-- $1 name; $2 subject; $3 event id; $4 actor; $5 request id.
WITH resolved AS (
    UPDATE numbering.alerts SET resolved_at = clock_timestamp()
    WHERE name = $1 AND subject = $2 AND resolved_at IS NULL
    RETURNING *
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id, at)
    SELECT r.name || '/' || r.subject, 'alert', $3, 'numbering.alert.resolved',
           jsonb_build_object(
               'alertId', r.alert_id, 'name', r.name, 'severity', r.severity, 'subject', r.subject, 'summary', r.summary,
               'runbook', r.runbook,
               'raisedAt', to_char(r.raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'resolvedAt', to_char(r.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
           $4, $5, r.resolved_at
    FROM resolved r
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING seq
