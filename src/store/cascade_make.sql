-- The cascade of a tenant's suspension; no row where one of the tenant's is unfinished, which goes on under its own ticket.
-- $1 cascade; $2 tenant; $3 ticket; $4 source; $5 event id; $6 state; $7 leases; $8 reservations.
INSERT INTO numbering.cascades (cascade_id, tenant_id, ticket_id, source, event_id, state, leases, reservations)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id) WHERE state IN ('AWAITING_CONFIRMATION', 'RUNNING') DO NOTHING
RETURNING cascade_id
