-- $1 seconds that an answer is kept; $2 the most rows; $3 and $4 the moment that is expected, and by how many seconds PostgreSQL's
-- clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $3::timestamptz))::float8 <= $4::float8
                THEN clock_timestamp() ELSE $3 END AS at
)
DELETE FROM numbering.idempotency_keys k
USING (
    SELECT scope, route, key FROM numbering.idempotency_keys
    WHERE created_at < (SELECT m.at FROM moment m) - make_interval(secs => $1)
    ORDER BY created_at LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE k.scope = old.scope AND k.route = old.route AND k.key = old.key
RETURNING k.key
