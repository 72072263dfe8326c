-- The quarantines that were ended before their time on a day (UTC), in their order, with the lease that had ended. $1 the day; $2 the
-- most rows. `total` is how many there are of all.
--
-- The entry before an override is always that of the quarantine, which names the lease.
SELECT o.total, o.at, o.actor, o.request_id, o.data ->> 'identifier' AS identifier, o.data ->> 'identifierClass' AS identifier_class,
       o.data ->> 'justification' AS justification, (o.data ->> 'availableAt')::timestamptz AS available_at,
       (rested.data ->> 'leaseId')::uuid AS lease_id, l.tenant_id
FROM (
    SELECT count(*) OVER () AS total, j.subject, j.seq, j.version, j.at, j.actor, j.request_id, j.data
    FROM numbering.journal j
    WHERE j.type = 'numbering.quarantine.overridden'
      AND j.at >= $1::date::timestamp AT TIME ZONE 'UTC'
      AND j.at < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
    ORDER BY j.at, j.seq
    LIMIT $2
) AS o
LEFT JOIN numbering.journal rested
    ON rested.subject = o.subject AND rested.subject_kind = 'number' AND rested.version = o.version - 1
    AND rested.type = 'numbering.identifier.quarantined'
LEFT JOIN numbering.leases l ON l.identifier = o.subject AND l.lease_id = (rested.data ->> 'leaseId')::uuid
ORDER BY o.at, o.seq
