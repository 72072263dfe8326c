-- Billing refused, so nothing was charged: next time it may be asked in other words. $1 identifier; $2 lease.
DELETE FROM numbering.renewal_requests r WHERE r.identifier = $1 AND r.lease_id = $2
