-- $5 valid from, NULL for now; $6 valid until. No row where it would end before it begins.
INSERT INTO numbering.mno_signing_keys (operator_id, key_id, algorithm, public_key, valid_from, valid_until)
SELECT $1, $2, $3, $4, start.at, $6
FROM (SELECT coalesce($5::timestamptz, clock_timestamp()) AS at) AS start
WHERE $6::timestamptz IS NULL OR $6 > start.at
RETURNING key_id, algorithm, public_key, valid_from, valid_until, revoked_at, created_at
