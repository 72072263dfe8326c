-- Raises an alert about a pool, its event with it, and what the pool's own event tells, unless one of this name is open about it
-- already. $1 to $3 role, holder and term; $4 the snapshot that the counts stood at which this was decided on; $5 id; $6 name;
-- $7 severity; $8 subject; $9 summary; $10 runbook; $11 event id; $12 the pool's event's id; $13 its type, or NULL for none;
-- $14 its data; $15 actor; $16 request id. One row where it is new.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
decided_on AS MATERIALIZED (
    SELECT p.only_one FROM numbering.pool_position p
    WHERE p.seen::text = $4 AND EXISTS (SELECT FROM role)
    FOR SHARE
),
raised AS (
    INSERT INTO numbering.alerts (alert_id, name, severity, subject, summary, runbook)
    SELECT $5, $6, $7, $8, $9, $10 FROM decided_on
    ON CONFLICT (name, subject) WHERE resolved_at IS NULL DO NOTHING
    RETURNING *
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id, at)
    SELECT r.name || '/' || r.subject, 'alert', $11::uuid, 'numbering.alert.raised',
           jsonb_build_object(
               'alertId', r.alert_id, 'name', r.name, 'severity', r.severity, 'subject', r.subject, 'summary', r.summary,
               'runbook', r.runbook,
               'raisedAt', to_char(r.raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
           $15, $16, r.raised_at
    FROM raised r
    UNION ALL
    SELECT r.subject, 'alert', $12::uuid, $13::text, $14::jsonb, $15, $16, r.raised_at
    FROM raised r WHERE $13::text IS NOT NULL
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING seq
