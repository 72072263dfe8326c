-- $1 id, $2 class, $3 tier, $4 plan, $5 operator, $6 amount, $7 currency, $8 per, $9 valid from, $10 valid until or NULL. Refused
-- by the constraint where another price is for the same and holds at any of these moments.
INSERT INTO numbering.price_list (
    price_id, identifier_class, price_tier, plan, operator_id, amount, currency, per, valid_from, valid_until)
VALUES ($1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9, $10)
RETURNING price_id, identifier_class, price_tier, plan, operator_id, amount::text AS amount, currency, per, valid_from, valid_until
