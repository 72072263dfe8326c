UPDATE numbering.idempotency_keys SET status = $5, body = $6
WHERE scope = $1 AND route = $2 AND key = $3 AND owner = $4 AND status IS NULL
