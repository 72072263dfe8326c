-- Counts what a block brings by the heads of its numbers, where all its good rows came in: from the staging table, which is far
-- less to read than the inventory. A head is as long as the operator's longest prefix, so that it falls under the prefixes that its
-- numbers fall under. $1 the block; $2 the operator.
INSERT INTO numbering.block_heads (block_id, identifier_class, head, due, numbers)
SELECT $1, h.identifier_class, h.head, h.due, count(*)
FROM (
    SELECT coalesce(r.identifier_class, 'MSISDN') AS identifier_class,
           CASE coalesce(r.identifier_class, 'MSISDN')
               WHEN 'MSISDN' THEN left(r.identifier, (
                   SELECT coalesce(max(length(p.prefix)), 1) FROM numbering.operator_prefixes p WHERE p.operator_id = $2))
               ELSE numbering.short_code_range(r.identifier)
           END AS head,
           numbering.pool_due('AVAILABLE', 0, NULL, r.valid_from) AS due
    FROM pg_temp.import_rows r
    WHERE r.reason IS NULL AND coalesce(r.identifier_class, 'MSISDN') <> 'ALPHA'
) AS h
GROUP BY h.identifier_class, h.head, h.due
