-- Brings the counts of pools from what one snapshot saw to what a later one saw. $1 to $3 role, holder and term that this is done on
-- the strength of; $4 the snapshot that the counts stand at; $5 the one that they are brought to, all of whose transactions
-- have ended; $6 the transactions that ran at the first and had ended at the second; $7 the first's end; $8 the second's end;
-- $9 the transactions that still ran at the second. Gives how many entries there were; no row where the role is over, or the
-- counts stand elsewhere. Where the role is over there is no row of `stands`, and nothing is after it.
--
-- An entry says how a number stands after it; how it stood before is said by the entry before. So a sum over entries is exact in any
-- order. The look-ups are laterals with a LIMIT, each a probe of an index, whatever the planner makes of the number of entries.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
stands AS MATERIALIZED (
    SELECT p.restored FROM numbering.pool_position p
    WHERE p.seen::text = $4 AND EXISTS (SELECT FROM role)
    FOR NO KEY UPDATE
),
entries AS MATERIALIZED (
    SELECT j.subject, j.subject_kind, j.type, j.version, j.state, j.deadline, j.data, j.at
    FROM unnest($6::text[]::xid8[]) AS late (xid)
    CROSS JOIN LATERAL (SELECT * FROM numbering.journal entry WHERE entry.xid = late.xid OFFSET 0) AS j
    WHERE j.seq > (SELECT s.restored FROM stands s)
    UNION ALL
    SELECT j.subject, j.subject_kind, j.type, j.version, j.state, j.deadline, j.data, j.at
    FROM numbering.journal j
    WHERE j.xid >= $7::text::xid8 AND j.xid < $8::text::xid8 AND j.xid <> ALL ($9::text[]::xid8[])
        AND j.seq > (SELECT s.restored FROM stands s)
),
moved AS MATERIALIZED (
    SELECT n.identifier_class, n.operator_id,
           CASE WHEN n.identifier_class = 'SHORT_CODE' THEN numbering.short_code_range(n.identifier) ELSE n.prefix END
               AS block_prefix,
           (e.at AT TIME ZONE 'UTC')::date AS day,
           e.state, numbering.pool_due(e.state, e.version, e.deadline, n.valid_from) AS due,
           coalesce(before.state, 'AVAILABLE') AS state_before,
           numbering.pool_due(coalesce(before.state, 'AVAILABLE'), e.version - 1, before.deadline, n.valid_from) AS due_before
    FROM entries e
    CROSS JOIN LATERAL (
        SELECT number.identifier, number.identifier_class, o.operator_id, number.valid_from,
               coalesce((
                   SELECT u.prefix FROM unnest(o.prefixes) AS u (prefix)
                   WHERE starts_with(number.identifier, u.prefix)
                   ORDER BY length(u.prefix) DESC LIMIT 1), '+') AS prefix
        FROM numbering.numbers number
        JOIN numbering.pool_operators o ON o.operator_id = coalesce(number.operator_id, '')
        WHERE number.identifier = e.subject
            AND number.identifier_class = CASE o.operator_id WHEN '' THEN 'SHORT_CODE' ELSE 'MSISDN' END
        LIMIT 1
    ) AS n
    LEFT JOIN LATERAL (
        SELECT p.state, p.deadline FROM numbering.journal p
        WHERE p.subject = e.subject AND p.subject_kind = 'number' AND p.version = e.version - 1
        LIMIT 1
    ) AS before ON true
    WHERE e.subject_kind = 'number' AND e.version IS NOT NULL
),
-- A block of a release that kept no heads, or heads that are shorter than a prefix of today, cannot be told apart by prefix.
blocks_in AS MATERIALIZED (
    SELECT o.operator_id, o.prefixes, e.at, h.identifier_class, h.head, h.due, h.numbers,
           h.head IS NULL OR EXISTS (
               SELECT FROM unnest(o.prefixes) AS u (prefix)
               WHERE h.identifier_class = 'MSISDN' AND length(u.prefix) > length(h.head) AND starts_with(u.prefix, h.head)
           ) AS cannot_be_told
    FROM entries e
    CROSS JOIN LATERAL (
        SELECT b.block_id, b.operator_id, b.inserted FROM numbering.blocks b WHERE b.block_id = e.subject::uuid LIMIT 1
    ) AS b
    JOIN numbering.pool_operators o ON o.operator_id = coalesce(b.operator_id, '')
    LEFT JOIN LATERAL (
        SELECT heads.* FROM numbering.block_heads heads WHERE heads.block_id = b.block_id OFFSET 0
    ) AS h ON true
    WHERE e.subject_kind = 'block' AND e.type = 'numbering.block.imported' AND b.inserted > 0
),
came_in AS MATERIALIZED (
    SELECT b.identifier_class, b.operator_id,
           CASE WHEN b.identifier_class = 'SHORT_CODE' THEN b.head
                ELSE coalesce((
                    SELECT u.prefix FROM unnest(b.prefixes) AS u (prefix)
                    WHERE starts_with(b.head, u.prefix)
                    ORDER BY length(u.prefix) DESC LIMIT 1), '+')
           END AS block_prefix,
           (b.at AT TIME ZONE 'UTC')::date AS day, b.due, b.numbers
    FROM blocks_in b
    WHERE b.head IS NOT NULL
),
changes AS (
    SELECT m.identifier_class, m.operator_id, m.block_prefix, m.state, m.due, 1 AS numbers FROM moved m
    UNION ALL
    SELECT m.identifier_class, m.operator_id, m.block_prefix, m.state_before, m.due_before, -1 FROM moved m
    UNION ALL
    SELECT c.identifier_class, c.operator_id, c.block_prefix, 'AVAILABLE', c.due, c.numbers FROM came_in c
),
counted AS (
    INSERT INTO numbering.pool_counts AS counts (identifier_class, operator_id, block_prefix, state, due, numbers)
    SELECT c.identifier_class, c.operator_id, c.block_prefix, c.state, c.due, sum(c.numbers)
    FROM changes c
    GROUP BY c.identifier_class, c.operator_id, c.block_prefix, c.state, c.due
    HAVING sum(c.numbers) <> 0
    ON CONFLICT (identifier_class, operator_id, block_prefix, state, due)
        DO UPDATE SET numbers = counts.numbers + excluded.numbers
    RETURNING counts.operator_id, counts.numbers
),
day_changes AS (
    SELECT m.identifier_class, m.operator_id, m.block_prefix, m.day, 0 AS imported,
           (m.state_before = 'AVAILABLE' AND m.state <> 'AVAILABLE')::integer AS taken,
           (m.state = 'AVAILABLE' AND m.state_before NOT IN ('AVAILABLE', 'QUARANTINE'))::integer AS given_back,
           (m.state = 'QUARANTINE' AND m.state_before <> 'QUARANTINE')::integer AS rested
    FROM moved m
    UNION ALL
    SELECT c.identifier_class, c.operator_id, c.block_prefix, c.day, c.numbers, 0, 0, 0 FROM came_in c
),
days AS (
    INSERT INTO numbering.pool_days AS kept (
        identifier_class, operator_id, block_prefix, day, imported, taken, given_back, rested)
    SELECT d.identifier_class, d.operator_id, d.block_prefix, d.day, sum(d.imported), sum(d.taken), sum(d.given_back), sum(d.rested)
    FROM day_changes d
    GROUP BY d.identifier_class, d.operator_id, d.block_prefix, d.day
    ON CONFLICT (identifier_class, operator_id, block_prefix, day)
        DO UPDATE SET imported = kept.imported + excluded.imported, taken = kept.taken + excluded.taken,
                      given_back = kept.given_back + excluded.given_back, rested = kept.rested + excluded.rested
),
-- Less than nothing: numbers have come in past the import.
doubtful AS (
    UPDATE numbering.pool_operators o SET stale = true
    WHERE o.operator_id IN (
        SELECT c.operator_id FROM counted c WHERE c.numbers < 0
        UNION SELECT b.operator_id FROM blocks_in b WHERE b.cannot_be_told)
),
brought_on AS (
    UPDATE numbering.pool_position p SET seen = $5::text::pg_snapshot
    WHERE p.only_one AND EXISTS (SELECT FROM stands)
    RETURNING p.only_one
)
SELECT (SELECT count(*) FROM entries) AS entries FROM brought_on
