-- The operators whose pools are to be counted anew ('' stands for the short codes), with their prefixes of today and the prefixes of
-- all pools that they have been counted in: those that never were, whose prefixes have changed, whose counts are in doubt, and
-- those that were last counted so long ago as $2 seconds before $1. So that these do not all come at once, one comes from half that time
-- on where for its share of it none was counted: with five operators, a fifth.
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
CROSS JOIN (SELECT max(p.counted_at) AS counted_at, count(*) AS operators FROM numbering.pool_operators p) AS latest
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM $1 - known.counted_at)::float8 AS seconds,
           extract(epoch FROM $1 - latest.counted_at)::float8 * latest.operators AS of_all
) AS age
WHERE known.operator_id IS NULL OR known.stale OR known.prefixes <> today.prefixes
    OR age.seconds > $2 OR age.seconds > $2 / 2 AND age.of_all > $2
ORDER BY known.counted_at NULLS FIRST, today.operator_id
