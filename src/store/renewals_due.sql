-- Leases whose renewal may be asked for, those that end first at the front: what a decision is taken on, the tenant's price,
-- and what billing was asked before. $1 renewal window in seconds; $2 leases to leave out; $3 and $4 the end and the
-- identifier of the last one seen, or NULL and ''; $5 the most rows; $6 and $7 the moment that is expected, and by how many
-- seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $6::timestamptz))::float8 <= $7::float8
                THEN clock_timestamp() ELSE $6 END AS at
),
due AS MATERIALIZED (
    SELECT l.identifier, l.lease_id, l.effective_until
    FROM numbering.leases l
    WHERE l.auto_renew AND l.state = 'LEASED'
        AND (l.effective_until, l.identifier) > (coalesce($3::timestamptz, '-infinity'), $4::text COLLATE "C")
        AND l.effective_until <= (SELECT m.at FROM moment m) + make_interval(secs => $1::float8)
        AND l.effective_from <= (SELECT m.at FROM moment m)
        AND (l.renewal_retry_at IS NULL OR l.renewal_retry_at <= (SELECT m.at FROM moment m))
        AND l.ends_at > (SELECT m.at FROM moment m)
        AND l.lease_id <> ALL ($2::uuid[])
    ORDER BY l.effective_until, l.identifier
    LIMIT $5
)
SELECT moment.at AS now, n.*,
       r.price_amount::text AS asked_amount, r.price_currency AS asked_currency, r.price_per AS asked_per,
       r.amount::text AS asked_total,
       p.amount::text AS list_amount, p.currency AS list_currency, p.per AS list_per,
       t.tenant_id AS standing_tenant, t.plan, t.status, t.revision, t.operator_allowlist,
       t.limit_msisdn, t.limit_short_code, t.limit_alpha, t.limit_reservations, t.limit_holds,
       t.used_msisdn, t.used_short_code, t.used_alpha, t.used_reservations, t.used_holds
FROM due d
CROSS JOIN moment
JOIN numbering.number_with_claim n ON n.identifier = d.identifier AND n.lease_id = d.lease_id AND n.state = 'LEASED'
JOIN numbering.tenants t ON t.tenant_id = n.tenant_id
LEFT JOIN numbering.renewal_requests r ON r.identifier = d.identifier AND r.lease_id = d.lease_id
LEFT JOIN LATERAL numbering.price_for(
    n.identifier_class, CASE WHEN n.vanity THEN 'vanity' ELSE n.price_tier END, t.plan, n.operator_id, moment.at) p ON true
ORDER BY d.effective_until, d.identifier
