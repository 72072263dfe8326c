-- $1 lease id.
SELECT clock_timestamp() AS now, l.identifier, l.identifier_class, l.shown, l.lease_id, l.prior_lease_id, l.tenant_id,
       l.state, l.effective_from, l.effective_until, l.ends_at, l.term, l.auto_renew,
       l.renewal_retry_at, l.reminded_at, l.vanity, l.locked,
       l.price_amount::text AS price_amount, l.price_currency, l.price_per
FROM numbering.leases l
WHERE l.lease_id = $1
