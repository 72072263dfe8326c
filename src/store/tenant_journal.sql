-- An entry about a tenant; $6 tells whether it is an event too. $1 tenant, $2 event id, $3 type, $4 data, $5 actor,
-- $7 request id.
WITH journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
    VALUES ($1, 'tenant', $2, $3, $4, $5, $7)
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j WHERE $6
