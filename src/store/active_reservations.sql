-- How many claims have not run out: the counters of the tenants, less what time has ended and nobody has written down; and for
-- how many seconds the longest overdue of these has been so. $1 and $2 the moment that is expected, and by how many seconds
-- PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $1::timestamptz))::float8 <= $2::float8
                THEN clock_timestamp() ELSE $1 END AS at
)
SELECT coalesce((SELECT sum(t.used_reservations + t.used_holds) FROM numbering.tenants t), 0)::bigint - overdue.claims AS active,
       coalesce(extract(epoch FROM (SELECT m.at FROM moment m) - overdue.since), 0)::float8 AS overdue_seconds
FROM (
    SELECT count(*) AS claims, min(c.deadline) AS since FROM numbering.claims c
    WHERE c.state IN ('RESERVED', 'HELD') AND c.deadline <= (SELECT m.at FROM moment m)
) AS overdue
