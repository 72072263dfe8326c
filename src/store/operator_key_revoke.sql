UPDATE numbering.mno_signing_keys SET revoked_at = clock_timestamp()
WHERE operator_id = $1 AND key_id = $2 AND revoked_at IS NULL
