-- Locks these numbers ($1), by identifier, and waits for whoever has one locked.
SELECT n.identifier FROM numbering.numbers n
WHERE n.identifier = ANY ($1::text[])
ORDER BY n.identifier
FOR NO KEY UPDATE
