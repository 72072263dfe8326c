SELECT b.block_id, b.operator_id, b.key_id, b.file_sha256, b.inserted, b.duplicates, b.invalid, b.imported_by, b.imported_at
FROM numbering.blocks b
WHERE b.block_id = $1
