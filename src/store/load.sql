-- What a decision is taken on: the moment, the number with its lease, the acting tenant's standing, its price at that moment.
-- $1 identifier; $2 tenant or NULL; $3 whether the vanity price is asked for; $4 and $5 the moment that is expected, and by how
-- many seconds PostgreSQL's clock may be off it. Always one row.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $4::timestamptz))::float8 <= $5::float8
                THEN clock_timestamp() ELSE $4 END AS at
)
SELECT moment.at AS now, n.*,
       p.amount::text AS list_amount, p.currency AS list_currency, p.per AS list_per,
       t.tenant_id AS standing_tenant, t.plan, t.status, t.revision, t.operator_allowlist,
       t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds,
       t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds
FROM (SELECT $1::text AS identifier, $2::text AS tenant_id) AS asked
CROSS JOIN moment
LEFT JOIN numbering.number_with_claim n ON n.identifier = asked.identifier
LEFT JOIN numbering.tenants t ON t.tenant_id = asked.tenant_id
LEFT JOIN LATERAL numbering.price_for(
    n.identifier_class, CASE WHEN $3::boolean THEN 'vanity' ELSE n.price_tier END, t.plan, n.operator_id, moment.at) p ON true
