-- Numbers that are leased for a year, as one commit each would have left them: the row, its claim, its lease, its term, its entry
-- in the journal, and the tenant's count. $1 the first, as a number; $2 how many; $3 the tenants, in turn; $4 whether the
-- events are still to be published.
WITH made AS MATERIALIZED (
    SELECT '+93' || ($1::bigint + i) AS identifier, gen_random_uuid() AS lease_id,
           ($3::text[])[1 + i % cardinality($3::text[])] AS tenant_id,
           statement_timestamp() AS effective_from, statement_timestamp() + interval '1 year' AS effective_until
    FROM generate_series(0, $2::bigint - 1) AS i
),
numbers AS (
    INSERT INTO numbering.numbers (
        identifier, identifier_class, shown, operator_id, version, state, tenant_id, lease_id, deadline, effective_until)
    SELECT identifier, 'MSISDN', identifier, 'awcc', 1, 'LEASED', tenant_id, lease_id, effective_until, effective_until
    FROM made
),
claims AS (
    INSERT INTO numbering.claims (identifier, claim_id, tenant_id, state, deadline, claimed_at)
    SELECT identifier, lease_id, tenant_id, 'LEASED', effective_until, NULL FROM made
),
leases AS (
    INSERT INTO numbering.leases (
        identifier, lease_id, identifier_class, shown, tenant_id, state, effective_from, effective_until, ends_at, term,
        auto_renew, vanity, price_amount, price_currency, price_per)
    SELECT identifier, lease_id, 'MSISDN', identifier, tenant_id, 'LEASED', effective_from, effective_until, effective_until,
           '1y', false, false, 2.5, 'USD', 'month'
    FROM made
),
terms AS (
    INSERT INTO numbering.lease_history (
        identifier, lease_id, tenant_id, effective_from, effective_until, term, price_amount, price_currency, price_per,
        recorded_at)
    SELECT identifier, lease_id, tenant_id, effective_from, effective_until, '1y', 2.5, 'USD', 'month', effective_from
    FROM made
),
counted AS (
    UPDATE numbering.tenants t SET used_msisdn = t.used_msisdn + m.leases
    FROM (SELECT tenant_id, count(*)::integer AS leases FROM made GROUP BY tenant_id) AS m
    WHERE t.tenant_id = m.tenant_id
),
journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, lease_id, deadline, data, actor, request_id)
    SELECT identifier, 'number', 1, gen_random_uuid(), 'numbering.lease.created', 'LEASED', tenant_id, lease_id,
           effective_until,
           jsonb_build_object(
               'identifier', identifier, 'identifierClass', 'MSISDN', 'version', 1, 'state', 'LEASED',
               'operatorId', 'awcc', 'leaseId', lease_id, 'tenantId', tenant_id,
               'effectiveFrom', to_char(effective_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'effectiveUntil', to_char(effective_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'term', '1y', 'autoRenew', false, 'vanity', false,
               'price', jsonb_build_object('amount', '2.5', 'currency', 'USD', 'per', 'month')),
           'bench', 'seed'
    FROM made
    RETURNING subject, seq
)
INSERT INTO numbering.outbox (subject, seq) SELECT subject, seq FROM journalled WHERE $4
