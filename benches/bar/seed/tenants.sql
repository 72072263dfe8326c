-- Tenants of the premium plan, with a quota of their own that no measurement meets. $1 their names.
WITH made AS (
    INSERT INTO numbering.tenants (
        tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
    SELECT name, 'premium', 2000000, 100, 250, 2000000, 2000000 FROM unnest($1::text[]) AS t (name)
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, limit_msisdn, limit_reservations, limit_holds
)
INSERT INTO numbering.tenant_quotas (tenant_id, msisdn, reservations, holds)
SELECT m.tenant_id, m.limit_msisdn, m.limit_reservations, m.limit_holds FROM made m
