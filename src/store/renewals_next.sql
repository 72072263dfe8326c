-- In how many seconds the next renewal may be asked for; NULL where none is known to come. $1 renewal window in seconds;
-- $2 leases to leave out.
--
-- Those within their window wait for their term to begin or for the next attempt, so all of them are looked at; of the
-- others, the one that ends first enters its window first.
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at, make_interval(secs => $1::float8) AS renewal_window)
SELECT extract(epoch FROM least(
    (SELECT min(greatest(l.effective_until - m.renewal_window, l.effective_from, l.renewal_retry_at))
     FROM moment m
     JOIN numbering.leases l ON l.auto_renew AND l.state = 'LEASED'
     WHERE l.effective_until <= (SELECT at + renewal_window FROM moment)
        AND l.ends_at > m.at
        AND greatest(l.renewal_retry_at, l.effective_from) < l.ends_at
        AND l.lease_id <> ALL ($2::uuid[])),
    (SELECT l.effective_until - (SELECT renewal_window FROM moment)
     FROM numbering.leases l
     WHERE l.auto_renew AND l.state = 'LEASED' AND l.effective_until > (SELECT at + renewal_window FROM moment)
     ORDER BY l.effective_until, l.identifier
     LIMIT 1)
) - moment.at)::float8 AS seconds
FROM moment
