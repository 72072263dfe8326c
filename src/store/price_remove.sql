-- Removes a price that has not begun. The general one that was to end where it begins goes on instead. $1 which.
WITH removed AS (
    DELETE FROM numbering.price_list p WHERE p.price_id = $1
    RETURNING p.identifier_class, p.price_tier, p.plan, p.operator_id, p.valid_from, p.valid_until
)
SELECT b.price_id AS before, r.valid_until
FROM removed r
JOIN numbering.price_list b
    ON b.identifier_class = r.identifier_class AND b.price_tier = r.price_tier AND b.valid_until = r.valid_from
WHERE r.plan IS NULL AND r.operator_id IS NULL AND b.plan IS NULL AND b.operator_id IS NULL
