-- Puts a page of the journal back into the outbox: of the $3 entries after $1 and up to $2, those not before $4 and of the
-- types $5. Gives the page's last place ($2 where it is the last page) and how many did not wait already.
WITH page AS MATERIALIZED (
    SELECT j.subject, j.seq, j.at, j.type FROM numbering.journal j
    WHERE j.seq > $1 AND j.seq <= $2
    ORDER BY j.seq
    LIMIT $3
),
put_back AS (
    INSERT INTO numbering.outbox (subject, seq)
    SELECT p.subject, p.seq FROM page p
    WHERE p.at >= $4 AND p.type = ANY ($5::text[])
    ORDER BY p.seq
    ON CONFLICT (subject, seq) DO NOTHING
    RETURNING seq
)
SELECT coalesce((SELECT max(p.seq) FROM page p HAVING count(*) = $3), $2) AS last,
       (SELECT count(*) FROM put_back) AS put_back
