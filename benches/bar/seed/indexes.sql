-- The indexes of the inventory: the command that makes each, and the one that drops it.
SELECT CASE WHEN c.conname IS NULL THEN pg_get_indexdef(i.indexrelid)
            ELSE format('ALTER TABLE numbering.numbers ADD CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid)) END,
       CASE WHEN c.conname IS NULL THEN format('DROP INDEX numbering.%I', r.relname)
            ELSE format('ALTER TABLE numbering.numbers DROP CONSTRAINT %I', c.conname) END
FROM pg_index i
JOIN pg_class r ON r.oid = i.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
WHERE i.indrelid = 'numbering.numbers'::regclass
ORDER BY c.conname NULLS LAST
