-- Locks a tenant's row, so that what the next statements read is what stands: its plan and limits, and how many leases and how
-- many reservations and holds it has. $1 tenant.
SELECT t.plan, t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds,
       t.used_msisdn + t.used_short_code + t.used_alpha AS leases, t.used_reservations + t.used_holds AS reservations
FROM numbering.tenants t WHERE t.tenant_id = $1
FOR NO KEY UPDATE
