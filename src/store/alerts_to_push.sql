-- The alerts that Alertmanager is to be told of, the oldest first: the open ones, and those whose end it has not acknowledged.
-- $1 the most rows.
SELECT a.alert_id, a.name, a.severity, a.subject, a.summary, a.runbook, a.raised_at, a.resolved_at
FROM numbering.alerts a
WHERE NOT a.end_acknowledged
ORDER BY a.alert_id
LIMIT $1
