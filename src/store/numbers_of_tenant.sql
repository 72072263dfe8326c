-- A tenant's own numbers, by identifier. $1 tenant; $2 after this identifier; $3 states; $4 the most rows.
SELECT clock_timestamp() AS now,
       n.identifier, n.identifier_class, n.shown, n.operator_id, n.block_id, n.vanity_eligible, n.price_tier, n.valid_from,
       n.version, n.state, n.tenant_id, n.reservation_id, n.lease_id, n.deadline, n.effective_until, n.ended_by, n.bars,
       n.prior_lease_id, n.effective_from, n.ends_at, n.term, n.auto_renew, n.vanity, n.locked,
       n.price_amount::text AS price_amount, n.price_currency, n.price_per
FROM numbering.claims c
JOIN numbering.number_with_lease n ON n.identifier = c.identifier
WHERE c.tenant_id = $1 AND c.identifier > $2 AND c.state = ANY ($3) AND c.deadline > clock_timestamp()
ORDER BY c.identifier
LIMIT $4
