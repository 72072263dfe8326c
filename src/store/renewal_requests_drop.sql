-- Billing refused, so nothing was charged: next time it may be asked in other words. On the strength of a role.
-- $1 identifier; $2 lease; $3 to $5 role, holder and term.
DELETE FROM numbering.renewal_requests r
WHERE r.identifier = $1 AND r.lease_id = $2
    AND EXISTS (
        SELECT FROM numbering.leaderships l
        WHERE l.role = $3 AND l.holder = $4 AND l.term = $5 AND l.expires_at > clock_timestamp()
        FOR SHARE)
