-- A tenant's leases, newest first. $1 tenant or NULL for all; $2 before this lease id or NULL; $3 the most rows.
SELECT clock_timestamp() AS now, l.identifier, l.identifier_class, l.shown, l.lease_id, l.prior_lease_id, l.tenant_id,
       l.state, l.effective_from, l.effective_until, l.ends_at, l.term, l.auto_renew,
       l.renewal_retry_at, l.reminded_at, l.vanity, l.locked,
       l.price_amount::text AS price_amount, l.price_currency, l.price_per
FROM numbering.leases l
WHERE ($1::text IS NULL OR l.tenant_id = $1) AND ($2::uuid IS NULL OR l.lease_id < $2)
ORDER BY l.lease_id DESC
LIMIT $3
