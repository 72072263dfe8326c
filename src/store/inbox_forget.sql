-- Forgets events that were received more than $1 seconds ago, $2 of them at most; $3 and $4 the moment that is expected, and by how
-- many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $3::timestamptz))::float8 <= $4::float8
                THEN clock_timestamp() ELSE $3 END AS at
)
DELETE FROM numbering.inbox i
USING (
    SELECT source, event_id FROM numbering.inbox
    WHERE received_at < (SELECT m.at FROM moment m) - make_interval(secs => $1)
    ORDER BY received_at LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE i.source = old.source AND i.event_id = old.event_id
RETURNING i.event_id
