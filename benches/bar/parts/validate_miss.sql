\set number :first + random(0, :leases - 1)
SELECT version, state, tenant_id, lease_id, deadline, effective_until, ended_by
FROM numbering.numbers WHERE identifier = '+93' || :number::text;
