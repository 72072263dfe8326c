-- Sets a tenant's own quotas (NULL: the plan's) and the limits in force. $1 tenant; $2 to $6 msisdn, short_code, alpha,
-- reservations, holds; $7 event id, $8 event data, $9 actor, $10 request id. No row where the tenant is unknown.
WITH known AS (
    SELECT t.tenant_id, p.msisdn, p.short_code, p.alpha, p.reservations, p.holds
    FROM numbering.tenants t JOIN numbering.plans p ON p.plan = t.plan
    WHERE t.tenant_id = $1
    FOR NO KEY UPDATE OF t
),
own AS (
    INSERT INTO numbering.tenant_quotas (tenant_id, msisdn, short_code, alpha, reservations, holds)
    SELECT known.tenant_id, $2::integer, $3::integer, $4::integer, $5::integer, $6::integer FROM known
    ON CONFLICT (tenant_id) DO UPDATE
    SET msisdn = excluded.msisdn, short_code = excluded.short_code, alpha = excluded.alpha,
        reservations = excluded.reservations, holds = excluded.holds, updated_at = clock_timestamp()
),
limits AS (
    UPDATE numbering.tenants t
    SET limit_msisdn = coalesce($2::integer, known.msisdn),
        limit_short_code = coalesce($3::integer, known.short_code),
        limit_alpha = coalesce($4::integer, known.alpha),
        limit_reservations = coalesce($5::integer, known.reservations),
        limit_holds = coalesce($6::integer, known.holds),
        revision = t.revision + 1, updated_at = clock_timestamp()
    FROM known
    WHERE t.tenant_id = known.tenant_id
    RETURNING t.tenant_id
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
    SELECT limits.tenant_id, 'tenant', $7, 'numbering.quota.changed', $8, $9, $10 FROM limits
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING subject
