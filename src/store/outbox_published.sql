-- Takes acknowledged entries out of the outbox. $1 role; $2 holder; $3 term; $4 and $5 subject and seq of each.
DELETE FROM numbering.outbox o
USING unnest($4::text[], $5::bigint[]) AS published (subject, seq)
WHERE o.subject = published.subject AND o.seq = published.seq
    AND EXISTS (
        SELECT FROM numbering.leaderships l WHERE l.role = $1 AND l.holder = $2 AND l.term = $3)
