-- $1 the operator, $2 the block, $3 and $4 the first and last identifier, which spare a look at the rest of the inventory.
-- Of equal rows the first counts. Nothing else inserts meanwhile (`import_lock.sql`).
INSERT INTO numbering.numbers (
    identifier, identifier_class, shown, operator_id, block_id, vanity_eligible, price_tier, valid_from)
SELECT DISTINCT ON (r.identifier)
       r.identifier, coalesce(r.identifier_class, 'MSISDN'), coalesce(r.shown, r.identifier), $1::text, $2::uuid,
       coalesce(r.vanity_eligible, false), coalesce(r.price_tier, 'standard'), r.valid_from
FROM pg_temp.import_rows r
WHERE r.reason IS NULL
    AND NOT EXISTS (
        SELECT FROM numbering.numbers n
        WHERE n.identifier = r.identifier AND n.identifier BETWEEN $3 AND $4)
ORDER BY r.identifier, r.line
