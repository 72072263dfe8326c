-- Keeps the charge of a lease that was not renewed. $1 identifier; $2 lease; $3 billing's id of the charge.
-- No row where the lease has been renewed after all, and its new term tells the charge.
UPDATE numbering.renewal_requests r SET charge_id = $3
WHERE r.identifier = $1 AND r.lease_id = $2
RETURNING r.lease_id
