-- How a number stood at a moment. $1 identifier; $2 the moment. The last entry written by then, or the block that it came
-- in; no row before that.
SELECT entry.state, entry.tenant_id, entry.lease_id, entry.deadline, entry.at
FROM (
    (SELECT 1 AS rank, j.state, j.tenant_id, j.lease_id, j.deadline, j.at
     FROM numbering.journal j
     WHERE j.subject = $1 AND j.subject_kind = 'number' AND j.at <= $2
     ORDER BY j.version DESC LIMIT 1)
    UNION ALL
    (SELECT 2, 'AVAILABLE', NULL, NULL::uuid, NULL::timestamptz, b.imported_at
     FROM numbering.numbers n JOIN numbering.blocks b ON b.block_id = n.block_id
     WHERE n.identifier = $1 AND b.imported_at <= $2)
) AS entry
ORDER BY entry.rank
LIMIT 1
