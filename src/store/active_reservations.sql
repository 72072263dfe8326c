-- How many claims have not run out. The counters of the tenants, less what time has ended and nobody has written down.
SELECT coalesce((SELECT sum(t.used_reservations + t.used_holds) FROM numbering.tenants t), 0)::bigint
     - (SELECT count(*) FROM numbering.claims c
        WHERE c.state IN ('RESERVED', 'HELD') AND c.deadline <= clock_timestamp())
