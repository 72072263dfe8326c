-- How far the counts of pools have come, what there is to see now, and whether the journal has anything that they lack. $1 the most
-- entries of one batch: `beyond` is the transaction of the entry after these, where there are so many.
--
-- What has not begun here came with a restore from another cluster, and is no news. All are sorted by the index's columns: without that
-- a planner who knows nothing of the snapshot reads the whole journal.
SELECT p.seen::text AS seen, pg_current_snapshot()::text AS now,
       (SELECT j.xid::text FROM numbering.journal j
        WHERE j.xid >= pg_snapshot_xmax(p.seen) AND j.xid < pg_snapshot_xmax(pg_current_snapshot()) AND j.seq > p.restored
        ORDER BY j.xid, j.seq OFFSET $1 LIMIT 1) AS beyond,
       (SELECT j.xid::text FROM numbering.journal j
        WHERE j.xid >= pg_snapshot_xmax(p.seen) AND j.xid < pg_snapshot_xmax(pg_current_snapshot()) AND j.seq > p.restored
        ORDER BY j.xid, j.seq LIMIT 1) AS next,
       (SELECT j.seq FROM numbering.journal j
        WHERE j.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.seen))) AND j.seq > p.restored
        ORDER BY j.xid, j.seq LIMIT 1) IS NOT NULL AS late
FROM numbering.pool_position p
