-- Takes acknowledged entries out of the outbox. $1 role; $2 holder; $3 term; $4 and $5 subject and seq of each.
--
-- Each is looked up by its key and taken by its place, so that nothing else of the outbox is read, however long it is.
DELETE FROM numbering.outbox o
WHERE o.ctid = ANY (ARRAY(
        SELECT entry.ctid
        FROM unnest($4::text[], $5::bigint[]) AS published (subject, seq)
        CROSS JOIN LATERAL (
            SELECT w.ctid FROM numbering.outbox w
            WHERE w.subject = published.subject AND w.seq = published.seq
            OFFSET 0) AS entry))
    AND EXISTS (
        SELECT FROM numbering.leaderships l WHERE l.role = $1 AND l.holder = $2 AND l.term = $3)
