-- What validation needs to know of some numbers, and whether their holders are suspended. $1 identifiers.
--
-- `as_of` is no later than the moment that the facts are of, `now` no earlier: a verdict is taken at `now`, and what is
-- kept of it is believed from `as_of` on. A number that is not in the inventory has no version.
SELECT asked.identifier, n.version, n.state, n.tenant_id, n.lease_id, n.deadline, n.effective_until, n.ended_by,
       coalesce(t.status = 'SUSPENDED', false) AS holder_suspended,
       statement_timestamp() AS as_of, clock_timestamp() AS now
FROM unnest($1::text[]) AS asked (identifier)
LEFT JOIN numbering.numbers n ON n.identifier = asked.identifier
LEFT JOIN numbering.tenants t ON t.tenant_id = n.tenant_id AND n.state IN ('LEASED', 'SUSPENDED')
