SELECT request_hash, status, body FROM numbering.idempotency_keys WHERE scope = $1 AND route = $2 AND key = $3
