-- How a number stood at a moment. $1 identifier; $2 the moment. The last entry written by then, or the block that it came
-- in; no row before that. `since` is where the same state, holder and lease began.
SELECT entry.state, entry.tenant_id, entry.lease_id, entry.deadline, entry.since, entry.vanity
FROM (
    (SELECT 1 AS rank, j.state, j.tenant_id, j.lease_id, j.deadline, first.since, l.vanity
     FROM numbering.journal j
     CROSS JOIN LATERAL (
         SELECT min(s.at) AS since
         FROM numbering.journal s
         WHERE s.subject = j.subject AND s.subject_kind = 'number' AND s.version <= j.version
           AND s.version > coalesce((
               SELECT max(d.version) FROM numbering.journal d
               WHERE d.subject = j.subject AND d.subject_kind = 'number' AND d.version < j.version
                 AND (d.state, d.tenant_id, d.lease_id) IS DISTINCT FROM (j.state, j.tenant_id, j.lease_id)), 0)
     ) AS first
     LEFT JOIN numbering.leases l ON l.identifier = j.subject AND l.lease_id = j.lease_id
     WHERE j.subject = $1 AND j.subject_kind = 'number' AND j.at <= $2
     ORDER BY j.version DESC LIMIT 1)
    UNION ALL
    (SELECT 2, 'AVAILABLE', NULL, NULL::uuid, NULL::timestamptz, b.imported_at, NULL::boolean
     FROM numbering.numbers n JOIN numbering.blocks b ON b.block_id = n.block_id
     WHERE n.identifier = $1 AND b.imported_at <= $2)
) AS entry
ORDER BY entry.rank
LIMIT 1
