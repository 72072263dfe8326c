-- Of a page of tenants, those whose counters are not what the rows say, with both. One statement is one snapshot: what commits
-- meanwhile is in all of it or in none, and nothing is locked. $1 after this tenant; $2 the most tenants. The last tenant of
-- the page is always given, so that the next page is known. Arrays are in the order of `Counter::ALL`.
WITH page AS MATERIALIZED (
    SELECT t.tenant_id,
           ARRAY[t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds] AS counted
    FROM numbering.tenants t
    WHERE t.tenant_id > $1
    ORDER BY t.tenant_id
    LIMIT $2
)
SELECT p.tenant_id, p.counted, r.found
FROM page p
CROSS JOIN LATERAL (
    SELECT ARRAY[
               count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'MSISDN'),
               count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'SHORT_CODE'),
               count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'ALPHA'),
               count(*) FILTER (WHERE c.state = 'RESERVED'),
               count(*) FILTER (WHERE c.state = 'HELD')
           ]::integer[] AS found
    FROM numbering.claims c JOIN numbering.numbers n ON n.identifier = c.identifier
    WHERE c.tenant_id = p.tenant_id
) AS r
WHERE p.counted <> r.found OR p.tenant_id = (SELECT max(l.tenant_id) FROM page l)
ORDER BY p.tenant_id
