-- Renewal: what billing is asked, and what a term was paid with.

ALTER TABLE numbering.lease_history
    -- What billing calls the charge; a lease's first term has none here.
    ADD COLUMN charge_id text;

-- What billing is asked about a lease, written down before it is asked, so that it is always asked in the same words and no
-- charge is without a trace. The row goes with billing's refusal, or in the commit of the renewal. One that stays behind
-- while its lease is no longer to be renewed was charged, or may have been, for nothing.
CREATE TABLE numbering.renewal_requests (
    identifier     text COLLATE "C" NOT NULL,
    lease_id       uuid        NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    -- The list price of that day, which the next term is leased for, and what the whole term costs by it.
    price_amount   numeric(12, 4) NOT NULL,
    price_currency text        NOT NULL,
    price_per      text        NOT NULL,
    amount         numeric(24, 4) NOT NULL,
    requested_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Where billing is known to have charged, and the renewal did not come about.
    charge_id      text,
    -- When finance has dealt with the charge.
    settled_at     timestamptz,
    PRIMARY KEY (identifier, lease_id)
);

-- What finance has to look at: charges, known or possible, of leases that were not renewed and will not be.
CREATE VIEW numbering.charges_without_renewal AS
SELECT r.identifier, r.tenant_id, r.lease_id, r.amount, r.price_currency AS currency, r.requested_at, r.charge_id
FROM numbering.renewal_requests r
WHERE r.settled_at IS NULL
    AND NOT EXISTS (
        SELECT FROM numbering.leases l
        WHERE l.identifier = r.identifier AND l.lease_id = r.lease_id AND l.state = 'LEASED' AND l.auto_renew
            AND l.ends_at > clock_timestamp())
    AND NOT EXISTS (
        SELECT FROM numbering.lease_history h WHERE h.identifier = r.identifier AND h.prior_lease_id = r.lease_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON numbering.renewal_requests TO numbering_service;
GRANT SELECT ON numbering.charges_without_renewal TO numbering_service;
