-- The newest first: a block's id begins with its time. $1 the id to go on after, or NULL; $2 how many.
SELECT b.block_id, b.operator_id, b.key_id, b.file_sha256, b.inserted, b.duplicates, b.invalid, b.imported_by, b.imported_at
FROM numbering.blocks b
WHERE $1::uuid IS NULL OR b.block_id < $1
ORDER BY b.block_id DESC
LIMIT $2
