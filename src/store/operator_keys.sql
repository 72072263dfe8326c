SELECT k.key_id, k.algorithm, k.public_key, k.valid_from, k.valid_until, k.revoked_at, k.created_at
FROM numbering.mno_signing_keys k
WHERE k.operator_id = $1
ORDER BY k.created_at, k.key_id
