-- Publishes the report of a day, once: no row where it is published already, or the role has gone to another. $1 role; $2 holder;
-- $3 term; $4 the report's name and day; $5 event id; $6 type; $7 data; $8 actor; $9 request id; $10 the moment.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, version, event_id, type, data, actor, request_id, at)
    SELECT $4, 'report', 1, $5, $6, $7, $8, $9, $10 FROM role
    ON CONFLICT (subject, subject_kind, version) WHERE version IS NOT NULL DO NOTHING
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j RETURNING seq
