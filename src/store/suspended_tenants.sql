-- Which tenants are suspended, and what time it is. One row.
SELECT clock_timestamp() AS now,
       ARRAY(SELECT t.tenant_id FROM numbering.tenants t WHERE t.status = 'SUSPENDED') AS tenants
