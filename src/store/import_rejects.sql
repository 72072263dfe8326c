-- $1 the block.
INSERT INTO numbering.block_rejects (block_id, line, value, reason)
SELECT $1, r.line, r.value, r.reason
FROM pg_temp.import_rows r
WHERE r.reason IS NOT NULL
