-- A tenant's own numbers, by identifier. $1 tenant; $2 after this identifier; $3 states; $4 the most rows.
SELECT clock_timestamp() AS now, n.*
FROM numbering.claims c
JOIN numbering.number_with_lease n ON n.identifier = c.identifier
WHERE c.tenant_id = $1 AND c.identifier > $2 AND c.state = ANY ($3) AND c.deadline > (SELECT clock_timestamp())
ORDER BY c.identifier
LIMIT $4
