-- A tenant's own quotas, NULL where the plan's counts. $1 tenant. One row.
SELECT q.msisdn, q.short_code, q.alpha, q.reservations, q.holds
FROM (SELECT) AS always
LEFT JOIN numbering.tenant_quotas q ON q.tenant_id = $1
