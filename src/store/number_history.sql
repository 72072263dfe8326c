-- A number's journal, oldest first, beginning with the block that it came in.
-- $1 identifier; $2 after this version (-1 for the beginning); $3 the most rows.
SELECT entry.version, entry.type, entry.at, entry.actor, entry.request_id, entry.data
FROM (
    (SELECT 0::bigint AS version, j.type, j.at, j.actor, j.request_id, j.data
     FROM numbering.numbers n
     JOIN numbering.journal j
         ON j.subject = n.block_id::text AND j.subject_kind = 'block' AND j.type = 'numbering.block.imported'
     WHERE n.identifier = $1 AND $2::bigint < 0
     ORDER BY j.seq LIMIT 1)
    UNION ALL
    (SELECT j.version, j.type, j.at, j.actor, j.request_id, j.data
     FROM numbering.journal j
     WHERE j.subject = $1 AND j.subject_kind = 'number' AND j.version > $2
     ORDER BY j.version LIMIT $3)
) AS entry
ORDER BY entry.version
LIMIT $3
