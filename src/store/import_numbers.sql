-- $1 the operator, $2 the block. In the order of identifiers, which is the order of locks; of equal ones the first line.
INSERT INTO numbering.numbers (
    identifier, identifier_class, shown, operator_id, block_id, vanity_eligible, price_tier, valid_from)
SELECT r.identifier, r.identifier_class, coalesce(r.shown, r.identifier), $1, $2, r.vanity_eligible, r.price_tier,
       r.valid_from
FROM pg_temp.import_rows r
WHERE r.reason IS NULL
ORDER BY r.identifier, r.line
ON CONFLICT (identifier) DO NOTHING
