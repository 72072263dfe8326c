-- Reservations that are extended: since when each is its tenant's, from which its ceiling counts.

ALTER TABLE numbering.claims ADD COLUMN claimed_at timestamptz;
-- Replicas of the release before do not know the column: what they claim is claimed just then.
ALTER TABLE numbering.claims ALTER COLUMN claimed_at SET DEFAULT clock_timestamp();
UPDATE numbering.claims c
SET claimed_at = coalesce(
    (SELECT max(j.at) FROM numbering.journal j
     WHERE j.subject = c.identifier AND j.subject_kind = 'number' AND j.type = 'numbering.reservation.held'
        AND j.data ->> 'kind' = 'RESERVE' AND j.data ->> 'reservationId' = c.claim_id::text),
    clock_timestamp())
WHERE c.state IN ('RESERVED', 'HELD');

-- A number with the lease or the reservation in force: what a decision is taken on. It has a name of its own, as statements
-- that are prepared on number_with_lease would fail if that changed; a later release drops it.
CREATE VIEW numbering.number_with_claim AS
SELECT n.*,
       l.prior_lease_id, l.effective_from, l.ends_at, l.term, l.auto_renew, l.renewal_retry_at, l.reminded_at, l.vanity,
       l.locked, l.price_amount::text AS price_amount, l.price_currency, l.price_per, c.claimed_at
FROM numbering.numbers n
LEFT JOIN numbering.leases l
    ON l.identifier = n.identifier AND l.lease_id = n.lease_id AND n.state IN ('LEASED', 'SUSPENDED')
LEFT JOIN numbering.claims c ON c.identifier = n.identifier AND c.claim_id = n.reservation_id;
GRANT SELECT ON numbering.number_with_claim TO numbering_service;
