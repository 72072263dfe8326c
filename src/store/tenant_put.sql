-- Sets a tenant's plan, status and allowlist, and with the plan its limits. $1 tenant, $2 plan, $3 status, $4 allowlist or
-- NULL, $5 event id, $6 journal data, $7 actor, $8 request id. No row where the plan is unknown.
WITH plan AS (
    SELECT p.* FROM numbering.plans p WHERE p.plan = $2
),
put AS (
    INSERT INTO numbering.tenants AS t (
        tenant_id, plan, status, operator_allowlist,
        limit_msisdn, limit_short_code, limit_alpha, limit_reservations, limit_holds)
    SELECT $1, p.plan, $3, $4, p.msisdn, p.short_code, p.alpha, p.reservations, p.holds FROM plan p
    ON CONFLICT (tenant_id) DO UPDATE
    SET plan = excluded.plan, status = excluded.status, operator_allowlist = excluded.operator_allowlist,
        limit_msisdn = coalesce(
            (SELECT q.msisdn FROM numbering.tenant_quotas q WHERE q.tenant_id = $1), excluded.limit_msisdn),
        limit_short_code = coalesce(
            (SELECT q.short_code FROM numbering.tenant_quotas q WHERE q.tenant_id = $1), excluded.limit_short_code),
        limit_alpha = coalesce(
            (SELECT q.alpha FROM numbering.tenant_quotas q WHERE q.tenant_id = $1), excluded.limit_alpha),
        limit_reservations = coalesce(
            (SELECT q.reservations FROM numbering.tenant_quotas q WHERE q.tenant_id = $1), excluded.limit_reservations),
        limit_holds = coalesce(
            (SELECT q.holds FROM numbering.tenant_quotas q WHERE q.tenant_id = $1), excluded.limit_holds),
        revision = t.revision + 1, updated_at = clock_timestamp()
    RETURNING t.tenant_id
)
INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
SELECT put.tenant_id, 'tenant', $5, 'numbering.tenant.updated', $6, $7, $8 FROM put
RETURNING subject
