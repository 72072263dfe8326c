-- What validation needs to know of some numbers, and whether their holders are suspended. $1 identifiers, as a JSON array: for one of
-- PostgreSQL's, whose length it can see, it may plan the statement anew each time. A row for each, in their order. Each is looked up by
-- itself (OFFSET 0 sees to it): a join with an inventory that was empty when it was planned would read all of what has come into it
-- since, and one with the tenants compared every number's holder with all of them. Who is suspended is looked up once.
--
-- `as_of` is no later than the moment that the facts are of, `now` no earlier: a verdict is taken at `now`, and what is
-- kept of it is believed from `as_of` on. A number that is not in the inventory has no version.
SELECT asked.place, n.version, n.state, n.tenant_id, n.lease_id, n.deadline, n.effective_until, n.ended_by,
       coalesce(n.state IN ('LEASED', 'SUSPENDED') AND n.tenant_id IN (
           SELECT t.tenant_id FROM numbering.tenants t WHERE t.status = 'SUSPENDED'), false) AS holder_suspended,
       statement_timestamp() AS as_of, clock_timestamp() AS now
FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS asked (identifier, place)
LEFT JOIN LATERAL (
    SELECT w.version, w.state, w.tenant_id, w.lease_id, w.deadline, w.effective_until, w.ended_by
    FROM numbering.numbers w WHERE w.identifier = asked.identifier
    OFFSET 0
) AS n ON true
ORDER BY asked.place
