\set n :n + 1
\set place (:base + :client_id + 32 * :n) % :numbers * :scatter % :numbers
\set number 700000000 + :place * :step
\set t mod(:client_id, :tenants)

WITH moved AS (
    UPDATE numbering.numbers
    SET version = version + 1, state = 'RESERVED', tenant_id = 'tenant-' || lpad(:t::text, 2, '0'),
        reservation_id = gen_random_uuid(), deadline = clock_timestamp() + interval '15 minutes'
    WHERE identifier = '+93' || :number::text AND state = 'AVAILABLE'
    RETURNING *
), counted AS (
    UPDATE numbering.tenants t SET used_reservations = used_reservations + 1
    FROM moved WHERE t.tenant_id = moved.tenant_id AND t.used_reservations < t.limit_reservations
), claimed AS (
    INSERT INTO numbering.claims (identifier, claim_id, tenant_id, state, deadline, claimed_at)
    SELECT identifier, reservation_id, tenant_id, state, deadline, clock_timestamp() FROM moved
), journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', version, gen_random_uuid(), 'numbering.reservation.held', state, tenant_id, deadline,
           jsonb_build_object('identifier', identifier, 'identifierClass', 'MSISDN', 'version', version, 'state', state,
               'kind', 'RESERVE', 'reservationId', reservation_id, 'tenantId', tenant_id, 'expiresAt', deadline),
           'pgbench', 'pgbench'
    FROM moved
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM journalled;

WITH moved AS (
    UPDATE numbering.numbers
    SET version = version + 1, state = 'HELD', deadline = clock_timestamp() + interval '24 hours'
    WHERE identifier = '+93' || :number::text AND state = 'RESERVED'
        AND tenant_id = 'tenant-' || lpad(:t::text, 2, '0')
    RETURNING *
), counted AS (
    UPDATE numbering.tenants t SET used_reservations = used_reservations - 1, used_holds = used_holds + 1
    FROM moved WHERE t.tenant_id = moved.tenant_id AND t.used_holds < t.limit_holds
), claimed AS (
    UPDATE numbering.claims c SET state = moved.state, deadline = moved.deadline
    FROM moved WHERE c.identifier = moved.identifier AND c.claim_id = moved.reservation_id
), journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', version, gen_random_uuid(), 'numbering.reservation.held', state, tenant_id, deadline,
           jsonb_build_object('identifier', identifier, 'identifierClass', 'MSISDN', 'version', version, 'state', state,
               'kind', 'HOLD', 'reservationId', reservation_id, 'tenantId', tenant_id, 'expiresAt', deadline),
           'pgbench', 'pgbench'
    FROM moved
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM journalled;

WITH before AS (
    SELECT identifier, reservation_id FROM numbering.numbers WHERE identifier = '+93' || :number::text
), moved AS (
    UPDATE numbering.numbers n
    SET version = version + 1, state = 'LEASED', reservation_id = NULL, lease_id = gen_random_uuid(),
        deadline = clock_timestamp() + interval '1 year', effective_until = clock_timestamp() + interval '1 year'
    WHERE n.identifier = '+93' || :number::text AND n.state = 'HELD'
        AND n.tenant_id = 'tenant-' || lpad(:t::text, 2, '0')
    RETURNING *
), counted AS (
    UPDATE numbering.tenants t SET used_holds = used_holds - 1, used_msisdn = used_msisdn + 1
    FROM moved WHERE t.tenant_id = moved.tenant_id AND t.used_msisdn < t.limit_msisdn
), claimed AS (
    UPDATE numbering.claims c SET claim_id = moved.lease_id, state = moved.state, deadline = moved.deadline, claimed_at = NULL
    FROM moved JOIN before ON before.identifier = moved.identifier
    WHERE c.identifier = moved.identifier AND c.claim_id = before.reservation_id
), leased AS (
    INSERT INTO numbering.leases (
        identifier, lease_id, identifier_class, shown, tenant_id, state, effective_from, effective_until, ends_at, term,
        auto_renew, vanity, price_amount, price_currency, price_per)
    SELECT identifier, lease_id, identifier_class, shown, tenant_id, state, clock_timestamp(), effective_until,
           greatest(deadline, effective_until), '1y', false, false, 2.5, 'USD', 'month'
    FROM moved
    RETURNING *
), recorded AS (
    INSERT INTO numbering.lease_history (
        identifier, lease_id, tenant_id, effective_from, effective_until, term, price_amount, price_currency, price_per,
        recorded_at)
    SELECT identifier, lease_id, tenant_id, effective_from, effective_until, term, price_amount, price_currency, price_per,
           effective_from
    FROM leased
), journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, lease_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', version, gen_random_uuid(), 'numbering.lease.created', state, tenant_id, lease_id, deadline,
           jsonb_build_object('identifier', identifier, 'identifierClass', 'MSISDN', 'version', version, 'state', state,
               'leaseId', lease_id, 'tenantId', tenant_id, 'effectiveFrom', clock_timestamp(),
               'effectiveUntil', effective_until, 'term', '1y', 'autoRenew', false, 'vanity', false,
               'price', jsonb_build_object('amount', '2.5', 'currency', 'USD', 'per', 'month')),
           'pgbench', 'pgbench'
    FROM moved
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM journalled;

WITH moved AS (
    UPDATE numbering.numbers
    SET version = version + 2, state = 'QUARANTINE', tenant_id = NULL, effective_until = NULL, ended_by = 'RECALL',
        deadline = clock_timestamp() + interval '90 days',
        bars = jsonb_build_array(jsonb_build_object(
            'tenant', 'tenant-' || lpad(:t::text, 2, '0'), 'until', clock_timestamp() + interval '90 days'))
    WHERE identifier = '+93' || :number::text AND state = 'LEASED'
        AND tenant_id = 'tenant-' || lpad(:t::text, 2, '0')
    RETURNING *
), counted AS (
    UPDATE numbering.tenants t SET used_msisdn = used_msisdn - 1
    FROM moved WHERE t.tenant_id = 'tenant-' || lpad(:t::text, 2, '0')
), released AS (
    DELETE FROM numbering.claims c USING moved WHERE c.identifier = moved.identifier AND c.claim_id = moved.lease_id
), ended AS (
    UPDATE numbering.leases l SET state = 'RECALLED', ended_at = clock_timestamp()
    FROM moved WHERE l.identifier = moved.identifier AND l.lease_id = moved.lease_id
), journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, lease_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', version - step.before, gen_random_uuid(), step.type, state,
           NULL, lease_id, deadline,
           jsonb_build_object('identifier', identifier, 'identifierClass', 'MSISDN', 'version', version - step.before,
               'state', state, 'leaseId', lease_id, 'reason', 'TENANT_INITIATED', 'availableAt', deadline),
           'pgbench', 'pgbench'
    FROM moved
    CROSS JOIN (VALUES (1, 'numbering.lease.recalled'), (0, 'numbering.identifier.quarantined')) AS step (before, type)
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM journalled;
