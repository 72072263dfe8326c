-- $1 which price, $2 until when it holds now, or NULL.
UPDATE numbering.price_list p SET valid_until = $2 WHERE p.price_id = $1
RETURNING p.price_id, p.identifier_class, p.price_tier, p.plan, p.operator_id, p.amount::text AS amount, p.currency, p.per,
          p.valid_from, p.valid_until
