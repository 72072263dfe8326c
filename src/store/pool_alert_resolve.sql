-- Resolves the open alert of this name about a pool, its event with it, and what the pool's own event tells. $1 to $3 role, holder and
-- term; $4 the snapshot that the counts stood at which this was decided on; $5 name; $6 subject; $7 event id; $8 the pool's
-- event's id; $9 its type, or NULL for none; $10 its data; $11 actor; $12 request id. A row where there was one.
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
resolved AS (
    UPDATE numbering.alerts SET resolved_at = clock_timestamp()
    WHERE name = $5 AND subject = $6 AND resolved_at IS NULL AND EXISTS (SELECT FROM decided_on)
    RETURNING *
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id, at)
    SELECT r.name || '/' || r.subject, 'alert', $7::uuid, 'numbering.alert.resolved',
           jsonb_build_object(
               'alertId', r.alert_id, 'name', r.name, 'severity', r.severity, 'subject', r.subject, 'summary', r.summary,
               'runbook', r.runbook,
               'raisedAt', to_char(r.raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'resolvedAt', to_char(r.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
           $11, $12, r.resolved_at
    FROM resolved r
    UNION ALL
    SELECT r.subject, 'alert', $8::uuid, $9::text, $10::jsonb, $11, $12, r.resolved_at
    FROM resolved r WHERE $9::text IS NOT NULL
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING seq
