-- How many tenants' counters are not what the rows say.
SELECT count(*)
FROM numbering.tenants t
LEFT JOIN (
    SELECT c.tenant_id,
           count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED')) AS leased,
           count(*) FILTER (WHERE c.state = 'RESERVED') AS reserved,
           count(*) FILTER (WHERE c.state = 'HELD') AS held
    FROM numbering.claims c GROUP BY c.tenant_id
) AS r ON r.tenant_id = t.tenant_id
WHERE (t.used_msisdn + t.used_short_code + t.used_alpha, t.used_reservations, t.used_holds)
    <> (coalesce(r.leased, 0), coalesce(r.reserved, 0), coalesce(r.held, 0))
