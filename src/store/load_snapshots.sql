-- What validation needs to know of some numbers, and whether their holders are suspended. $1 identifiers, as a JSON array: for one of
-- PostgreSQL's, whose length it can see, it may plan the statement anew each time. A row for each, in their order.
--
-- `as_of` is no later than the moment that the facts are of, `now` no earlier: a verdict is taken at `now`, and what is
-- kept of it is believed from `as_of` on. A number that is not in the inventory has no version.
SELECT n.version, n.state, n.tenant_id, n.lease_id, n.deadline, n.effective_until, n.ended_by,
       coalesce(t.status = 'SUSPENDED', false) AS holder_suspended,
       statement_timestamp() AS as_of, clock_timestamp() AS now
FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS asked (identifier, place)
LEFT JOIN numbering.numbers n ON n.identifier = asked.identifier
LEFT JOIN numbering.tenants t ON t.tenant_id = n.tenant_id AND n.state IN ('LEASED', 'SUSPENDED')
ORDER BY asked.place
