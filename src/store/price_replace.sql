-- Ends a price where the one begins that takes its place, if it is for the same and holds then. $1 which; $2 class, $3 tier,
-- $4 plan, $5 operator (NULL for every one); $6 when.
UPDATE numbering.price_list p
SET valid_until = $6
WHERE p.price_id = $1
    AND p.identifier_class = $2 AND p.price_tier = $3
    AND p.plan IS NOT DISTINCT FROM $4 AND p.operator_id IS NOT DISTINCT FROM $5
    AND p.valid_from < $6 AND (p.valid_until IS NULL OR p.valid_until > $6)
RETURNING p.price_id, p.identifier_class, p.price_tier, p.plan, p.operator_id, p.amount::text AS amount, p.currency, p.per,
          p.valid_from, p.valid_until
