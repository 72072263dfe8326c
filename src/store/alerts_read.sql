-- Alerts, the newest first: an alert's id begins with its time. $1 whether they are open, or NULL for all; $2 the id to go on
-- after, or NULL; $3 the most rows.
SELECT a.alert_id, a.name, a.severity, a.subject, a.summary, a.runbook, a.raised_at, a.resolved_at
FROM numbering.alerts a
WHERE ($1::boolean IS NULL OR (a.resolved_at IS NULL) = $1)
  AND ($2::uuid IS NULL OR a.alert_id < $2)
ORDER BY a.alert_id DESC
LIMIT $3
