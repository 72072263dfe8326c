-- Ends a price that has begun. $1 which, $2 the moment.
UPDATE numbering.price_list p
SET valid_until = greatest($2::timestamptz, p.valid_from + interval '1 microsecond')
WHERE p.price_id = $1
RETURNING p.price_id, p.identifier_class, p.price_tier, p.plan, p.operator_id, p.amount::text AS amount, p.currency, p.per,
          p.valid_from, p.valid_until
