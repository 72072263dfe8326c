-- Numbers that are reserved, and run out evenly over one second. $1 the first, as a number; $2 how many; $3 the tenants, in turn;
-- $4 how many seconds from now the second begins. Gives each number, its reservation, and when that runs out in milliseconds
-- since 1970, never early: what its timer in Redis has.
WITH made AS MATERIALIZED (
    SELECT '+93' || ($1::bigint + i) AS identifier, gen_random_uuid() AS reservation_id,
           ($3::text[])[1 + i % cardinality($3::text[])] AS tenant_id,
           statement_timestamp() + make_interval(secs => $4::float8 + i::float8 / $2::float8) AS deadline
    FROM generate_series(0, $2::bigint - 1) AS i
),
numbers AS (
    INSERT INTO numbering.numbers (
        identifier, identifier_class, shown, operator_id, version, state, tenant_id, reservation_id, deadline)
    SELECT identifier, 'MSISDN', identifier, 'awcc', 1, 'RESERVED', tenant_id, reservation_id, deadline FROM made
),
claims AS (
    INSERT INTO numbering.claims (identifier, claim_id, tenant_id, state, deadline, claimed_at)
    SELECT identifier, reservation_id, tenant_id, 'RESERVED', deadline, statement_timestamp() FROM made
),
counted AS (
    UPDATE numbering.tenants t SET used_reservations = t.used_reservations + m.reservations
    FROM (SELECT tenant_id, count(*)::integer AS reservations FROM made GROUP BY tenant_id) AS m
    WHERE t.tenant_id = m.tenant_id
),
journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', 1, gen_random_uuid(), 'numbering.reservation.held', 'RESERVED', tenant_id, deadline,
           jsonb_build_object(
               'identifier', identifier, 'identifierClass', 'MSISDN', 'version', 1, 'state', 'RESERVED',
               'operatorId', 'awcc', 'kind', 'RESERVE', 'reservationId', reservation_id, 'tenantId', tenant_id,
               'expiresAt', to_char(deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
           'bench', 'seed'
    FROM made
)
SELECT identifier, reservation_id, ceil(extract(epoch FROM deadline) * 1000)::bigint AS expires_at_ms FROM made
