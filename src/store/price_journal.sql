-- An entry for the audit alone: $1 price, $2 event id, $3 type, $4 data, $5 actor, $6 request id.
INSERT INTO numbering.journal (subject, subject_kind, event_id, type, data, actor, request_id)
VALUES ($1, 'price', $2, $3, $4, $5, $6)
