-- $1 tenant, $2 the plan to start on.
INSERT INTO numbering.tenants (
    tenant_id, plan, limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
SELECT $1, p.plan, p.msisdn, p.short_code, p.alpha, p.reservations, p.holds
FROM numbering.plans p WHERE p.plan = $2
ON CONFLICT (tenant_id) DO NOTHING
