-- Sets the named ones of a locked tenant's own quotas (NULL: the plan's). $1 tenant; $2 to $6 msisdn, short_code, alpha,
-- reservations, holds; $7 to $11 which of them are named.
INSERT INTO numbering.tenant_quotas AS q (tenant_id, msisdn, short_code, alpha, reservations, holds)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id) DO UPDATE
SET msisdn = CASE WHEN $7 THEN excluded.msisdn ELSE q.msisdn END,
    short_code = CASE WHEN $8 THEN excluded.short_code ELSE q.short_code END,
    alpha = CASE WHEN $9 THEN excluded.alpha ELSE q.alpha END,
    reservations = CASE WHEN $10 THEN excluded.reservations ELSE q.reservations END,
    holds = CASE WHEN $11 THEN excluded.holds ELSE q.holds END,
    updated_at = clock_timestamp()
