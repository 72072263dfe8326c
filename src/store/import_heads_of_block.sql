-- Counts what a block brings by the heads of its numbers, where some of its rows were duplicates: from the inventory. A head is as
-- in `import_heads.sql`. $1 the block; $2 the operator; $3 and $4 the first and last identifier of its rows.
INSERT INTO numbering.block_heads (block_id, identifier_class, head, due, numbers)
SELECT $1, h.identifier_class, h.head, h.due, count(*)
FROM (
    SELECT n.identifier_class,
           CASE n.identifier_class
               WHEN 'MSISDN' THEN left(n.identifier, (
                   SELECT coalesce(max(length(p.prefix)), 1) FROM numbering.operator_prefixes p WHERE p.operator_id = $2))
               ELSE numbering.short_code_range(n.identifier)
           END AS head,
           numbering.pool_due('AVAILABLE', 0, NULL, n.valid_from) AS due
    FROM numbering.numbers n
    WHERE n.identifier BETWEEN $3 AND $4 AND n.block_id = $1 AND n.identifier_class <> 'ALPHA'
) AS h
GROUP BY h.identifier_class, h.head, h.due
