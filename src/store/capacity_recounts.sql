-- The operators whose pools are to be counted anew ('' stands for the short codes), with their prefixes of today and the prefixes of
-- all pools that they have been counted in: those that never were, whose prefixes have changed, whose counts are in doubt, and
-- those counted last before $1.
SELECT today.operator_id, today.prefixes,
       ARRAY(SELECT DISTINCT c.block_prefix FROM numbering.pool_counts c WHERE c.operator_id = today.operator_id) AS counted_in
FROM (
    SELECT o.operator_id,
           ARRAY(SELECT p.prefix FROM numbering.operator_prefixes p WHERE p.operator_id = o.operator_id ORDER BY p.prefix)
               AS prefixes
    FROM numbering.operators o
    UNION ALL
    SELECT '', '{}'
) AS today
LEFT JOIN numbering.pool_operators known ON known.operator_id = today.operator_id
WHERE known.operator_id IS NULL OR known.stale OR known.prefixes <> today.prefixes OR known.counted_at < $1
ORDER BY known.counted_at NULLS FIRST, today.operator_id
