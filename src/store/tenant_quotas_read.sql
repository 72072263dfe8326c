-- A tenant's own quotas. $1 tenant.
SELECT msisdn, short_code, alpha, reservations, holds FROM numbering.tenant_quotas WHERE tenant_id = $1
