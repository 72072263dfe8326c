-- The block, its one journal entry and its event. $1 block, $2 operator, $3 key, $4 file's SHA-256, $5 inserted,
-- $6 duplicates, $7 invalid, $8 actor, $9 request id, $10 event id, $11 event data. No row where the key has been revoked
-- since it verified.
WITH block AS (
    INSERT INTO numbering.blocks (block_id, operator_id, key_id, file_sha256, inserted, duplicates, invalid, imported_by)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8
    WHERE $3::text IS NULL OR EXISTS (
        SELECT FROM numbering.mno_signing_keys k
        WHERE k.operator_id = $2 AND k.key_id = $3 AND k.revoked_at IS NULL)
    RETURNING block_id
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
    SELECT b.block_id::text, 'block', $10, 'numbering.block.imported', $11, $8, $9 FROM block b
    RETURNING subject, seq
),
to_publish AS (
    INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j
)
SELECT b.block_id FROM block b
