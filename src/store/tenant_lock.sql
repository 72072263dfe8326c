-- Locks a tenant's row, so that what the next statements read is what stands. $1 tenant.
SELECT t.plan FROM numbering.tenants t WHERE t.tenant_id = $1 FOR NO KEY UPDATE
