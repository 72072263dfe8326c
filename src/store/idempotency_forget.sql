DELETE FROM numbering.idempotency_keys k
USING (
    SELECT scope, route, key FROM numbering.idempotency_keys
    WHERE created_at < clock_timestamp() - make_interval(secs => $1)
    ORDER BY created_at LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS old
WHERE k.scope = old.scope AND k.route = old.route AND k.key = old.key
RETURNING k.key
