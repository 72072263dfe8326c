-- Notes that Alertmanager knows of the end of these alerts. $1 their ids.
UPDATE numbering.alerts a SET end_acknowledged = true
WHERE a.alert_id = ANY ($1) AND a.resolved_at IS NOT NULL AND NOT a.end_acknowledged
