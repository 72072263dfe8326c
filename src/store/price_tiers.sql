-- Every class and tier that has a general price now, and so from now on. $1 and $2 the moment that is expected, and by how many
-- seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $1::timestamptz))::float8 <= $2::float8
                THEN clock_timestamp() ELSE $1 END AS at
)
SELECT p.identifier_class, p.price_tier FROM numbering.price_list p
WHERE p.plan IS NULL AND p.operator_id IS NULL
    AND p.valid_from <= (SELECT m.at FROM moment m)
    AND (p.valid_until IS NULL OR p.valid_until > (SELECT m.at FROM moment m))
