-- What a price to come is checked against. $1 class, $2 tier; $3 plan and $4 operator, or NULL; $5 from when it is to hold, or
-- NULL for now; $6 until when, or NULL; $9 whether $5 was said as a day, and today's is now; $7 and $8 the moment that is expected, and by how many seconds PostgreSQL's clock may be
-- off it. One row.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $7::timestamptz))::float8 <= $8::float8
                THEN clock_timestamp() ELSE $7 END AS at
),
asked AS (
    SELECT m.at,
           CASE WHEN $5::timestamptz IS NULL OR ($9 AND $5 = date_trunc('day', m.at, 'UTC')) THEN m.at ELSE $5 END AS valid_from,
           $6::timestamptz AS valid_until FROM moment m
)
SELECT a.at AS now, a.valid_from, a.valid_until,
       a.valid_from < a.at AS begins_in_the_past,
       coalesce(a.valid_until <= a.valid_from, false) AS never_holds,
       $3::text IS NULL OR EXISTS (SELECT FROM numbering.plans p WHERE p.plan = $3) AS plan_known,
       $4::text IS NULL OR EXISTS (SELECT FROM numbering.operators o WHERE o.operator_id = $4) AS operator_known,
       EXISTS (
           SELECT FROM numbering.price_list p
           WHERE p.identifier_class = $1 AND p.price_tier = $2 AND p.plan IS NULL AND p.operator_id IS NULL
               AND p.valid_from <= a.valid_from AND (p.valid_until IS NULL OR p.valid_until > a.valid_from)) AS has_general
FROM asked a
