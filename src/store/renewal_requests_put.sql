-- Writes down what billing is going to be asked, on the strength of a role. $1 the requests; $2 to $4 role, holder and term.
-- Gives the leases whose request this wrote: not those that have one already or are no longer to be renewed, and none at
-- all once the role's term is over.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $2 AND l.holder = $3 AND l.term = $4 AND l.expires_at > clock_timestamp()
    FOR SHARE
)
INSERT INTO numbering.renewal_requests (
    identifier, lease_id, tenant_id, price_amount, price_currency, price_per, amount)
SELECT q.identifier, q.lease_id, q.tenant_id, q.price_amount, q.price_currency, q.price_per, q.amount
FROM role
CROSS JOIN jsonb_to_recordset($1::jsonb) AS q (
    identifier text, lease_id uuid, tenant_id text, price_amount numeric, price_currency text, price_per text,
    amount numeric)
JOIN numbering.leases l ON l.identifier = q.identifier AND l.lease_id = q.lease_id AND l.state = 'LEASED' AND l.auto_renew
ORDER BY q.identifier
ON CONFLICT DO NOTHING
RETURNING lease_id
