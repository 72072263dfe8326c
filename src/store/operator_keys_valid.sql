-- The keys that count at this moment of the database's clock.
SELECT k.key_id, k.algorithm, k.public_key, k.valid_from, k.valid_until, k.revoked_at, k.created_at
FROM numbering.mno_signing_keys k
WHERE k.operator_id = $1
    AND k.revoked_at IS NULL
    AND k.valid_from <= clock_timestamp()
    AND (k.valid_until IS NULL OR k.valid_until > clock_timestamp())
ORDER BY k.created_at, k.key_id
