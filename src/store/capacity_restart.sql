-- Has the counts of pools made anew from what there is to see now: after a restore into another cluster of PostgreSQL, whose
-- transactions are numbered anew, the snapshot that they stand at says nothing. $1 to $3 role, holder and term; $4 the snapshot
-- that they stand at; $5 the present one.
--
-- The journal came with the restore too. Entries of transactions that have not begun here are of the other cluster; what comes now is
-- numbered after them, and the newest of them is among the newest of all.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
brought_on AS (
    UPDATE numbering.pool_position p
    SET seen = $5::text::pg_snapshot,
        restored = CASE
            WHEN EXISTS (SELECT FROM numbering.journal j WHERE j.xid >= pg_snapshot_xmax($5::text::pg_snapshot))
            THEN (SELECT j.seq FROM numbering.journal j
                  WHERE j.xid >= pg_snapshot_xmax($5::text::pg_snapshot) ORDER BY j.seq DESC LIMIT 1)
            ELSE p.restored
        END
    WHERE p.seen::text = $4 AND EXISTS (SELECT FROM role)
    RETURNING p.only_one
)
UPDATE numbering.pool_operators o SET stale = true WHERE EXISTS (SELECT FROM brought_on)
