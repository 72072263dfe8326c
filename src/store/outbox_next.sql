-- The next entries to publish, for the relay that holds the role.
--
-- $1 role; $2 holder; $3 term; $4 length of the leadership in seconds; $5 the most entries; $6 subjects to leave alone.
-- No row when the leadership is over; one row with nothing but the leadership when nothing waits. The leadership is
-- written only once a third of it is gone, so that an idle relay does not write ten times a second; or when it would last longer
-- than its length, because it was written while the clock was ahead. Each entry is looked up by its key (OFFSET 0 sees to it): joined,
-- a journal that grew fast since its statistics were taken was read whole for each wave.
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
       clock_timestamp() AS read_at,
       entry.subject, entry.seq, entry.event_id, entry.type, entry.about, entry.at, entry.data
FROM held
LEFT JOIN LATERAL (
    SELECT j.subject, j.seq, j.event_id, j.type, j.at, j.data,
           CASE j.subject_kind WHEN 'number' THEN coalesce(j.data ->> 'identifier', j.subject) ELSE j.subject END AS about
    FROM (
        SELECT o.subject, o.seq FROM numbering.outbox o
        WHERE o.subject <> ALL ($6::text[])
        ORDER BY o.seq
        LIMIT $5
    ) AS next
    CROSS JOIN LATERAL (
        SELECT w.* FROM numbering.journal w WHERE w.subject = next.subject AND w.seq = next.seq OFFSET 0
    ) AS j
) AS entry ON true
ORDER BY entry.seq
