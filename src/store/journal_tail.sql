-- What the journal has got since a snapshot, and what one snapshot after it says. One row.
--
-- $1 the transactions that were running in the snapshot before, $2 its end; $3 the most entries of either kind. Where there was
-- none before, $1 is empty and $2 NULL, and nothing is new.
--
-- A transaction that the snapshot before did not see is one that it lists as running, or one that it had not heard of, whose id
-- is not below its end. Those that this snapshot does not see either have no rows here. So nothing is missed however late a
-- transaction commits, and nothing is read twice. What has an id that is not given out yet was restored from another cluster, and
-- is no news. The incarnation is another after a restart and after a failover; a standby fails here, as it should. Both branches are sorted by all of the index's columns: without that a
-- planner who knows nothing of $2 reads the whole journal.
WITH late AS (
    SELECT j.subject, j.subject_kind, j.version FROM numbering.journal j
    WHERE j.xid = ANY ($1::text[]::xid8[])
    ORDER BY j.xid, j.seq
    LIMIT $3
),
new AS (
    SELECT j.subject, j.subject_kind, j.version FROM numbering.journal j
    WHERE j.xid >= $2::text::xid8 AND j.xid < pg_snapshot_xmax(pg_current_snapshot())
    ORDER BY j.xid, j.seq
    LIMIT $3
),
news AS (
    SELECT * FROM late UNION ALL SELECT * FROM new
),
numbers AS (
    SELECT n.subject, max(n.version) AS version FROM news n WHERE n.subject_kind = 'number' GROUP BY n.subject
),
changed AS (
    SELECT coalesce(array_agg(n.subject), '{}') AS numbers, coalesce(array_agg(n.version), '{}') AS versions FROM numbers n
)
SELECT clock_timestamp() AS now,
       pg_current_snapshot()::text AS snapshot,
       left(pg_walfile_name(pg_current_wal_lsn()), 8) || ' ' || pg_postmaster_start_time() AS incarnation,
       (SELECT count(*) FROM news) AS entries,
       changed.numbers, changed.versions,
       EXISTS (SELECT FROM news n WHERE n.subject_kind = 'block') AS inventory_grew,
       ARRAY(SELECT t.tenant_id FROM numbering.tenants t WHERE t.status = 'SUSPENDED') AS suspended
FROM changed
