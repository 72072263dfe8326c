-- One price, and how it stands to the moment. $1 which; $2 and $3 the moment that is expected, and by how many seconds
-- PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $2::timestamptz))::float8 <= $3::float8
                THEN clock_timestamp() ELSE $2 END AS at
)
SELECT p.price_id, p.identifier_class, p.price_tier, p.plan, p.operator_id, p.amount::text AS amount, p.currency, p.per,
       p.valid_from, p.valid_until,
       m.at AS now, p.valid_from <= m.at AS has_begun, coalesce(p.valid_until <= m.at, false) AS has_ended
FROM numbering.price_list p CROSS JOIN moment m
WHERE p.price_id = $1
