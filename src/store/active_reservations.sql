-- How many claims have not run out: the counters of the tenants, less what time has ended and nobody has written down; and for
-- how many seconds the longest overdue of these has been so.
SELECT coalesce((SELECT sum(t.used_reservations + t.used_holds) FROM numbering.tenants t), 0)::bigint - overdue.claims AS active,
       coalesce(extract(epoch FROM clock_timestamp() - overdue.since), 0)::float8 AS overdue_seconds
FROM (
    SELECT count(*) AS claims, min(c.deadline) AS since FROM numbering.claims c
    WHERE c.state IN ('RESERVED', 'HELD') AND c.deadline <= (SELECT clock_timestamp())
) AS overdue
