-- A page of the price list, in the order of class, tier, plan, operator (those for all first) and time. Filters that are NULL let
-- everything through: $1 class, $2 tier, $3 plan, $4 operator, $5 a moment at which it holds. $6 to $10 the last one seen ($6 NULL
-- for the first page; '' for no plan or operator). $11 the most rows. The list is short and read whole.
SELECT p.price_id, p.identifier_class, p.price_tier, p.plan, p.operator_id, p.amount::text AS amount, p.currency, p.per,
       p.valid_from, p.valid_until
FROM numbering.price_list p
WHERE ($1::text IS NULL OR p.identifier_class = $1)
    AND ($2::text IS NULL OR p.price_tier = $2)
    AND ($3::text IS NULL OR p.plan = $3)
    AND ($4::text IS NULL OR p.operator_id = $4)
    AND ($5::timestamptz IS NULL OR p.valid_from <= $5 AND (p.valid_until IS NULL OR p.valid_until > $5))
    AND ($6::text IS NULL
         OR (p.identifier_class COLLATE "C", p.price_tier, coalesce(p.plan, ''), coalesce(p.operator_id, ''), p.valid_from)
            > ($6, $7::text, $8::text, $9::text, $10::timestamptz))
ORDER BY p.identifier_class COLLATE "C", p.price_tier, coalesce(p.plan, ''), coalesce(p.operator_id, ''), p.valid_from
LIMIT $11
