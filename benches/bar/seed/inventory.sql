-- Mobile numbers that are AVAILABLE. $1 how many; $2 the step from one to the next, so that inventories of different sizes
-- spread over the same span. Three of four are of the operator `awcc`; every two hundredth is vanity-eligible.
INSERT INTO numbering.numbers (identifier, identifier_class, shown, operator_id, vanity_eligible, price_tier)
SELECT '+93' || (700000000 + i * $2), 'MSISDN', '+93' || (700000000 + i * $2),
       CASE WHEN i % 4 = 3 THEN 'roshan' ELSE 'awcc' END, i % 200 = 0, 'standard'
FROM generate_series(0, $1::bigint - 1) AS i
