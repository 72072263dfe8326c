-- $1 scope, $2 route, $3 key, $4 request hash, $5 owner, $6 seconds to hold, $7 seconds that an answer is kept.
-- Gives a row when the key is ours: it was free, its time is over, or the same request's owner let its claim lapse.
INSERT INTO numbering.idempotency_keys AS k (scope, route, key, request_hash, owner, claimed_until)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))
ON CONFLICT (scope, route, key) DO UPDATE
SET request_hash = excluded.request_hash, owner = excluded.owner, claimed_until = excluded.claimed_until,
    status = NULL, body = NULL, created_at = clock_timestamp()
WHERE k.created_at < clock_timestamp() - make_interval(secs => $7)
   OR (k.status IS NULL AND k.claimed_until < clock_timestamp() AND k.request_hash = excluded.request_hash)
RETURNING k.key
