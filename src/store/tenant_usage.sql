-- What a tenant has, but for what time has ended already, where the tenant is at a revision. $1 tenant, $2 revision; $3 and $4
-- the moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $3::timestamptz))::float8 <= $4::float8
                THEN clock_timestamp() ELSE $3 END AS at
)
SELECT t.used_msisdn - ended.msisdn AS used_msisdn,
       t.used_short_code - ended.short_code AS used_short_code,
       t.used_alpha - ended.alpha AS used_alpha,
       t.used_reservations - ended.reservations AS used_reservations,
       t.used_holds - ended.holds AS used_holds
FROM numbering.tenants t
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE c.state = 'RESERVED')::integer AS reservations,
           count(*) FILTER (WHERE c.state = 'HELD')::integer AS holds,
           count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'MSISDN')::integer AS msisdn,
           count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'SHORT_CODE')::integer
               AS short_code,
           count(*) FILTER (WHERE c.state IN ('LEASED', 'SUSPENDED') AND n.identifier_class = 'ALPHA')::integer AS alpha
    FROM numbering.claims c JOIN numbering.numbers n ON n.identifier = c.identifier
    WHERE c.tenant_id = t.tenant_id AND c.deadline <= (SELECT m.at FROM moment m)
) AS ended
WHERE t.tenant_id = $1 AND t.revision = $2
