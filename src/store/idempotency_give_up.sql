DELETE FROM numbering.idempotency_keys WHERE scope = $1 AND route = $2 AND key = $3 AND owner = $4 AND status IS NULL
