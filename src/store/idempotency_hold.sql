-- Locks a claim for the rest of the transaction, so that nobody takes it over. No row where it is no longer ours.
SELECT k.key FROM numbering.idempotency_keys k
WHERE k.scope = $1 AND k.route = $2 AND k.key = $3 AND k.owner = $4 AND k.status IS NULL
FOR NO KEY UPDATE
