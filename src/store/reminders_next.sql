-- In how many seconds the next reminder of a grace is due; NULL where none is known to come. $1 reminder interval in seconds.
--
-- Leases in grace are few, and all of them are looked at; of the others, the one whose term ends first is in grace first.
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at)
SELECT extract(epoch FROM least(
    (SELECT min(coalesce(l.reminded_at + make_interval(secs => $1::float8), l.effective_until))
     FROM moment m
     JOIN numbering.leases l ON l.state IN ('LEASED', 'SUSPENDED') AND l.ends_at > l.effective_until
     WHERE l.effective_until <= (SELECT at FROM moment)
        AND l.ends_at > m.at
        AND coalesce(l.reminded_at + make_interval(secs => $1::float8) < l.ends_at, true)),
    (SELECT l.effective_until
     FROM numbering.leases l
     WHERE l.state IN ('LEASED', 'SUSPENDED') AND l.ends_at > l.effective_until
        AND l.effective_until > (SELECT at FROM moment)
     ORDER BY l.effective_until, l.identifier
     LIMIT 1)
) - moment.at)::float8 AS seconds
FROM moment
