-- Sets a locked tenant's plan, status and allowlist, and with the plan its limits. $1 tenant, $2 plan, $3 status or NULL for
-- what stands, $4 whether the allowlist is set, $5 the allowlist or NULL for all operators.
UPDATE numbering.tenants t
SET plan = p.plan,
    status = coalesce($3, t.status),
    operator_allowlist = CASE WHEN $4 THEN $5 ELSE t.operator_allowlist END,
    limit_msisdn = coalesce(q.msisdn, p.msisdn),
    limit_short_code = coalesce(q.short_code, p.short_code),
    limit_alpha = coalesce(q.alpha, p.alpha),
    limit_reservations = coalesce(q.reservations, p.reservations),
    limit_holds = coalesce(q.holds, p.holds),
    revision = t.revision + 1,
    updated_at = clock_timestamp()
FROM numbering.plans p
LEFT JOIN numbering.tenant_quotas q ON q.tenant_id = $1
WHERE t.tenant_id = $1 AND p.plan = $2
RETURNING t.status, t.operator_allowlist,
          t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds
