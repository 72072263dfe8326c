-- The unfinished cascade of a tenant, which has one at most; locked, so that it stays so. $1 tenant.
SELECT c.cascade_id FROM numbering.cascades c
WHERE c.tenant_id = $1 AND c.state IN ('AWAITING_CONFIRMATION', 'RUNNING')
FOR NO KEY UPDATE
