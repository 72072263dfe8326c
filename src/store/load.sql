-- What decisions are taken on: the moment, the number with its lease, the acting tenant's standing, its price at that moment.
-- $1 what is asked about; $2 and $3 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it. One row for
-- each, in the order they were asked about.
--
-- They come as JSON, as in commit.sql: for arrays, whose length it can see, PostgreSQL would plan the statement anew each time. Each
-- number is looked up by itself (OFFSET 0 sees to it): a join with an inventory that was empty when it was planned would read all of
-- what has come into it since.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $2::timestamptz))::float8 <= $3::float8
                THEN clock_timestamp() ELSE $2 END AS at
)
SELECT asked.place, moment.at AS now, n.*,
       p.amount::text AS list_amount, p.currency AS list_currency, p.per AS list_per,
       t.tenant_id AS standing_tenant, t.plan, t.status, t.revision, t.operator_allowlist,
       t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds,
       t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds
FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (identifier text, tenant_id text, vanity boolean))
    WITH ORDINALITY AS asked (identifier, tenant_id, vanity, place)
CROSS JOIN moment
LEFT JOIN LATERAL (
    SELECT v.* FROM numbering.number_with_claim v WHERE v.identifier = asked.identifier OFFSET 0
) AS n ON true
LEFT JOIN numbering.tenants t ON t.tenant_id = asked.tenant_id
LEFT JOIN LATERAL numbering.price_for(
    n.identifier_class, CASE WHEN asked.vanity THEN 'vanity' ELSE n.price_tier END, t.plan, n.operator_id, moment.at) p ON true
ORDER BY asked.place
