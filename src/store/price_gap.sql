-- From when a tier would have no general price although it had one before. $1 class, $2 tier. No row where each follows the one
-- before without a gap and the last has no end.
SELECT g.valid_until AS gap_from
FROM (
    SELECT p.valid_until, lead(p.valid_from) OVER (ORDER BY p.valid_from) AS next_from
    FROM numbering.price_list p
    WHERE p.identifier_class = $1 AND p.price_tier = $2 AND p.plan IS NULL AND p.operator_id IS NULL
) AS g
WHERE g.valid_until IS DISTINCT FROM g.next_from
ORDER BY g.valid_until
LIMIT 1
