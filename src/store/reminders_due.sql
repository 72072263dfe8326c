-- Leases in grace whose tenant is to be reminded of it now, with their numbers. $1 reminder interval in seconds; $2 and $3 the
-- end and the identifier of the last one seen, or NULL and ''; $4 the most rows; $5 and $6 the moment that is expected, and by
-- how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $5::timestamptz))::float8 <= $6::float8
                THEN clock_timestamp() ELSE $5 END AS at
),
due AS MATERIALIZED (
    SELECT l.identifier, l.lease_id, l.effective_until
    FROM numbering.leases l
    WHERE l.state IN ('LEASED', 'SUSPENDED') AND l.ends_at > l.effective_until
        AND (l.effective_until, l.identifier) > (coalesce($2::timestamptz, '-infinity'), $3::text COLLATE "C")
        AND l.effective_until <= (SELECT m.at FROM moment m)
        AND l.ends_at > (SELECT m.at FROM moment m)
        AND (l.reminded_at IS NULL
            OR l.reminded_at + make_interval(secs => $1::float8) <= (SELECT m.at FROM moment m))
    ORDER BY l.effective_until, l.identifier
    LIMIT $4
)
SELECT moment.at AS now, n.*
FROM due d
CROSS JOIN moment
JOIN numbering.number_with_claim n ON n.identifier = d.identifier AND n.lease_id = d.lease_id
ORDER BY d.effective_until, d.identifier
