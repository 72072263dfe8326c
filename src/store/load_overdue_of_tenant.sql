-- A tenant's claims and leases that time has ended and nobody has written down yet.
-- $1 tenant; $2 the most rows.
SELECT clock_timestamp() AS now, n.*
FROM numbering.claims c
JOIN numbering.number_with_lease n ON n.identifier = c.identifier
WHERE c.tenant_id = $1 AND c.deadline <= (SELECT clock_timestamp())
ORDER BY n.identifier
LIMIT $2
