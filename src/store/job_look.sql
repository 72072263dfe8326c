-- How a job stands, for the replica that may run it. No row when that is over. $1 role; $2 holder; $3 term; $4 length of the
-- role in seconds; $5 job.
--
-- The same statement prolongs the role once a third of it is gone, so that a job that waits does not write each time; or sets it
-- right when it would last longer than its length, because it was written while the clock was ahead.
WITH renewed AS (
    UPDATE numbering.leaderships l
    SET expires_at = clock_timestamp() + make_interval(secs => $4::float8)
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
        AND (l.expires_at < clock_timestamp() + make_interval(secs => $4::float8 * 2 / 3)
            OR l.expires_at > clock_timestamp() + make_interval(secs => $4::float8))
    RETURNING l.expires_at
),
held AS MATERIALIZED (
    SELECT coalesce((SELECT r.expires_at FROM renewed r), l.expires_at) AS expires_at
    FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
)
SELECT extract(epoch FROM held.expires_at - clock_timestamp())::float8 AS remaining_seconds,
       clock_timestamp() AS now, j.next_run, j.requested, j.answered
FROM held CROSS JOIN numbering.jobs j
WHERE j.job = $5
