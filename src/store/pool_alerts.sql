-- The open alerts about pools. $1 their names.
SELECT a.alert_id, a.name, a.severity, a.subject, a.summary, a.runbook, a.raised_at, a.resolved_at
FROM numbering.alerts a
WHERE a.name = ANY ($1) AND a.resolved_at IS NULL
ORDER BY a.name, a.subject
