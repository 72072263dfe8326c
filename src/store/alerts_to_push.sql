-- The alerts that Alertmanager is to be told of, a page at a time: the open ones, those that page first and the newest of each first,
-- then those whose end it has not acknowledged. $1 and $2 rank and id of the last one of the page before: -1 and any id at first;
-- $3 the most rows. These are few among all alerts, and an index holds just them.
SELECT p.rank, p.alert_id, p.name, p.severity, p.subject, p.summary, p.runbook, p.raised_at, p.resolved_at
FROM (
    SELECT a.*,
           CASE WHEN a.resolved_at IS NOT NULL THEN 3 ELSE array_position(ARRAY['SEV1', 'CRITICAL', 'WARNING'], a.severity) - 1 END
               AS rank
    FROM numbering.alerts a
    WHERE NOT a.end_acknowledged
) AS p
WHERE p.rank > $1::integer OR p.rank = $1 AND p.alert_id < $2::uuid
ORDER BY p.rank, p.alert_id DESC
LIMIT $3
