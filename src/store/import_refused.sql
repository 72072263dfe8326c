-- $1 operator, $2 event id, $3 event data, $4 actor, $5 request id.
WITH journalled AS (
    INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
    VALUES ($1, 'operator', $2, 'numbering.block.import_rejected', $3, $4, $5)
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j
