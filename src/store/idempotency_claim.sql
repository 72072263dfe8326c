-- $1 scope, $2 route, $3 key, $4 request hash, $5 owner, $6 seconds to hold, $7 seconds that an answer is kept;
-- $8 and $9 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
-- Gives a row when the key is ours: it was free, its time is over, or the same request's owner let its claim lapse.
-- A row that its owner has locked (in the middle of its commit) is passed by and not waited for, so that repeats of a long
-- request answer at once and hold no connection.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $8::timestamptz))::float8 <= $9::float8
                THEN clock_timestamp() ELSE $8 END AS at
),
lapsed AS (
    SELECT k.scope, k.route, k.key FROM numbering.idempotency_keys k
    WHERE k.scope = $1 AND k.route = $2 AND k.key = $3
      AND (k.created_at < (SELECT m.at FROM moment m) - make_interval(secs => $7)
           OR (k.status IS NULL AND k.claimed_until < (SELECT m.at FROM moment m) AND k.request_hash = $4))
    FOR NO KEY UPDATE SKIP LOCKED
),
taken_over AS (
    UPDATE numbering.idempotency_keys k
    SET request_hash = $4, owner = $5, claimed_until = m.at + make_interval(secs => $6),
        status = NULL, body = NULL, created_at = m.at
    FROM lapsed l CROSS JOIN moment m
    WHERE k.scope = l.scope AND k.route = l.route AND k.key = l.key
    RETURNING k.key
),
claimed AS (
    INSERT INTO numbering.idempotency_keys (scope, route, key, request_hash, owner, claimed_until, created_at)
    SELECT $1, $2, $3, $4, $5, m.at + make_interval(secs => $6), m.at
    FROM moment m
    WHERE NOT EXISTS (SELECT FROM taken_over)
    ON CONFLICT (scope, route, key) DO NOTHING
    RETURNING key
)
SELECT t.key FROM taken_over t UNION ALL SELECT c.key FROM claimed c
