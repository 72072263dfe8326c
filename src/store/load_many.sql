-- What decisions about many numbers of one tenant are taken on: the moment, the numbers with their leases, the tenant's standing.
-- $1 identifiers; $2 tenant. A row for each that is in the inventory; one without a number where none is.
SELECT clock_timestamp() AS now, n.*,
       t.tenant_id AS standing_tenant, t.plan, t.status, t.revision, t.operator_allowlist,
       t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds,
       t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds
FROM (SELECT $2::text AS tenant_id) AS asked
LEFT JOIN numbering.number_with_claim n ON n.identifier = ANY ($1::text[])
LEFT JOIN numbering.tenants t ON t.tenant_id = asked.tenant_id
