-- The next numbers that the tenant of a running cascade still has, by identifier, with the moment and the tenant's revision.
-- $1 cascade; $2 after this identifier; $3 the most rows.
SELECT clock_timestamp() AS now, t.revision, n.*
FROM numbering.cascades c
JOIN numbering.tenants t ON t.tenant_id = c.tenant_id AND t.status = 'SUSPENDED'
CROSS JOIN LATERAL (
    SELECT k.identifier FROM numbering.claims k
    WHERE k.tenant_id = c.tenant_id AND k.identifier > $2
    ORDER BY k.identifier
    LIMIT $3
) AS claim
JOIN numbering.number_with_claim n ON n.identifier = claim.identifier
WHERE c.cascade_id = $1 AND c.state = 'RUNNING'
ORDER BY n.identifier
