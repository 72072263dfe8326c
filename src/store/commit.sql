-- The only writer of number state: one number or ten thousand, one statement, one round trip.
--
-- $1 the transitions, each with who asked for it and, where it has one, the owner of the idempotency claim that it runs under;
-- $2 those claims, each with the answer to keep under it; $3 to $5 role, holder and term that this is done on the strength of, or
-- NULLs; $6 and $7 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
-- Gives what became of each: MOVED; OUTDATED, where the number has moved on since; NUMBER_LOCKED or TENANT_LOCKED, where it is not to
-- be had: with SKIP LOCKED in the two places that say so, because others have it locked. No row where it is too late, too much, or not
-- to be done on the strength of that role or claim.
--
-- Lock order is an invariant: the role, the idempotency rows by key, numbers by identifier, tenants by id. A transition moves only
-- if the number still has the version and the tenant still has the revision that it was decided on, if the moment at which time
-- alone would have decided otherwise has not come (asked after the locks are held), and if its grant fits the quota together with
-- the grants before it, by identifier. What the same statement frees makes no room yet.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS i (
        identifier text, expected_version bigint, commit_before timestamptz, standing_tenant text, standing_revision bigint,
        version bigint, state text, tenant_id text, reservation_id uuid, lease_id uuid, deadline timestamptz,
        effective_until timestamptz, ended_by text, bars jsonb,
        claim_before uuid, claim_after uuid, claimed_at timestamptz,
        steps jsonb, usage jsonb, ended jsonb, lease jsonb, lease_is_new boolean,
        charge_id text, actor text, request_id text, asked_under uuid)
),
answers AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS a (
        scope text, route text, key text, owner uuid, status integer, body text)
),
-- Held until the commit: whoever takes the role over waits for it, and finds it done.
role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $3 AND l.holder = $4 AND l.term = $5 AND l.expires_at > clock_timestamp()
    FOR SHARE
),
idempotency_claims AS MATERIALIZED (
    -- One by one, here and below: a join may be planned as reading the whole table, and the plan be kept while that grows.
    SELECT k.owner
    FROM (SELECT a.* FROM answers a ORDER BY a.scope COLLATE "C", a.route COLLATE "C", a.key COLLATE "C") AS claimed
    CROSS JOIN LATERAL (
        SELECT i.owner FROM numbering.idempotency_keys i
        WHERE i.scope = claimed.scope AND i.route = claimed.route AND i.key = claimed.key AND i.owner = claimed.owner
            AND i.status IS NULL
        FOR NO KEY UPDATE
    ) AS k
),
admitted AS MATERIALIZED (
    SELECT i.* FROM input i
    WHERE ($3::text IS NULL OR EXISTS (SELECT FROM role))
        AND (i.asked_under IS NULL OR i.asked_under IN (SELECT k.owner FROM idempotency_claims k))
),
locked AS MATERIALIZED (
    SELECT n.identifier, n.version
    FROM (SELECT a.identifier FROM admitted a ORDER BY a.identifier COLLATE "C") AS wanted_number
    CROSS JOIN LATERAL (
        SELECT w.identifier, w.version FROM numbering.numbers w WHERE w.identifier = wanted_number.identifier
        FOR NO KEY UPDATE -- number, or passed by
    ) AS n
),
candidates AS MATERIALIZED (
    SELECT a.* FROM admitted a JOIN locked l ON l.identifier = a.identifier AND l.version = a.expected_version
),
wanted AS MATERIALIZED (
    SELECT c.identifier, u.*
    FROM candidates c
    CROSS JOIN LATERAL jsonb_to_recordset(c.usage) AS u (
        tenant_id text, msisdn integer, short_code integer, alpha integer, reservations integer, holds integer)
),
needed_tenants AS MATERIALIZED (
    SELECT w.identifier, w.tenant_id FROM wanted w
    UNION SELECT c.identifier, c.standing_tenant FROM candidates c WHERE c.standing_tenant IS NOT NULL
),
locked_tenants AS MATERIALIZED (
    SELECT t.*
    FROM (SELECT DISTINCT n.tenant_id COLLATE "C" AS tenant_id FROM needed_tenants n ORDER BY 1) AS needed
    CROSS JOIN LATERAL (
        SELECT w.* FROM numbering.tenants w WHERE w.tenant_id = needed.tenant_id
        FOR NO KEY UPDATE -- tenant, or passed by
    ) AS t
),
hindered AS MATERIALIZED (
    SELECT a.identifier, 'NUMBER_LOCKED' AS outcome FROM admitted a
    WHERE a.identifier NOT IN (SELECT l.identifier FROM locked l)
    UNION
    SELECT n.identifier, 'TENANT_LOCKED' FROM needed_tenants n
    WHERE n.tenant_id NOT IN (SELECT t.tenant_id FROM locked_tenants t)
),
moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $6::timestamptz))::float8 <= $7::float8
                THEN clock_timestamp() ELSE $6 END AS at
    FROM (SELECT count(*) FROM locked) AS all_numbers_locked, (SELECT count(*) FROM locked_tenants) AS all_tenants_locked
),
current AS MATERIALIZED (
    SELECT c.*, moment.at
    FROM candidates c CROSS JOIN moment
    WHERE c.commit_before IS NULL OR moment.at < c.commit_before
),
decided_on_today AS MATERIALIZED (
    SELECT c.* FROM current c
    LEFT JOIN locked_tenants t ON t.tenant_id = c.standing_tenant
    WHERE (c.standing_tenant IS NULL OR t.revision = c.standing_revision)
        AND c.identifier NOT IN (SELECT h.identifier FROM hindered h)
),
over_quota AS MATERIALIZED (
    SELECT change.identifier
    FROM (
        SELECT w.*, d.standing_tenant,
               sum(greatest(w.msisdn, 0)) OVER upto AS msisdn_upto,
               sum(greatest(w.short_code, 0)) OVER upto AS short_code_upto,
               sum(greatest(w.alpha, 0)) OVER upto AS alpha_upto,
               sum(greatest(w.reservations, 0)) OVER upto AS reservations_upto,
               sum(greatest(w.holds, 0)) OVER upto AS holds_upto
        FROM wanted w JOIN decided_on_today d ON d.identifier = w.identifier
        WINDOW upto AS (PARTITION BY w.tenant_id ORDER BY w.identifier)
    ) AS change
    JOIN locked_tenants t ON t.tenant_id = change.tenant_id AND t.tenant_id = change.standing_tenant
    WHERE (change.msisdn > 0 AND t.used_msisdn + change.msisdn_upto > t.limit_msisdn)
       OR (change.short_code > 0 AND t.used_short_code + change.short_code_upto > t.limit_short_code)
       OR (change.alpha > 0 AND t.used_alpha + change.alpha_upto > t.limit_alpha)
       OR (change.reservations > 0 AND t.used_reservations + change.reservations_upto > t.limit_reservations)
       OR (change.holds > 0 AND t.used_holds + change.holds_upto > t.limit_holds)
),
moved AS MATERIALIZED (
    SELECT d.* FROM decided_on_today d WHERE d.identifier NOT IN (SELECT o.identifier FROM over_quota o)
),
counted AS (
    UPDATE numbering.tenants t
    SET used_msisdn = t.used_msisdn + change.msisdn,
        used_short_code = t.used_short_code + change.short_code,
        used_alpha = t.used_alpha + change.alpha,
        used_reservations = t.used_reservations + change.reservations,
        used_holds = t.used_holds + change.holds
    FROM (
        SELECT w.tenant_id, sum(w.msisdn) AS msisdn, sum(w.short_code) AS short_code, sum(w.alpha) AS alpha,
               sum(w.reservations) AS reservations, sum(w.holds) AS holds
        FROM wanted w JOIN moved m ON m.identifier = w.identifier
        GROUP BY w.tenant_id
    ) AS change
    WHERE t.tenant_id = change.tenant_id
),
numbers_moved AS (
    UPDATE numbering.numbers n
    SET version = m.version, state = m.state, tenant_id = m.tenant_id, reservation_id = m.reservation_id,
        lease_id = m.lease_id, deadline = m.deadline, effective_until = m.effective_until, ended_by = m.ended_by,
        bars = m.bars
    FROM moved m
    WHERE n.identifier = m.identifier
),
claims_ended AS (
    DELETE FROM numbering.claims c USING moved m
    WHERE c.identifier = m.identifier AND c.claim_id = m.claim_before AND m.claim_after IS NULL
),
claims_changed AS (
    UPDATE numbering.claims c
    SET claim_id = m.claim_after, tenant_id = m.tenant_id, state = m.state, deadline = m.deadline, claimed_at = m.claimed_at
    FROM moved m
    WHERE c.identifier = m.identifier AND c.claim_id = m.claim_before AND m.claim_after IS NOT NULL
),
claims_made AS (
    INSERT INTO numbering.claims (identifier, claim_id, tenant_id, state, deadline, claimed_at)
    SELECT m.identifier, m.claim_after, m.tenant_id, m.state, m.deadline, m.claimed_at
    FROM moved m WHERE m.claim_before IS NULL AND m.claim_after IS NOT NULL
),
leases_ended AS (
    UPDATE numbering.leases l
    SET state = e.state, ended_at = e.ended_at
    FROM moved m
    CROSS JOIN LATERAL jsonb_to_recordset(m.ended) AS e (lease_id uuid, state text, ended_at timestamptz)
    WHERE l.identifier = m.identifier AND l.lease_id = e.lease_id
),
leases_changed AS (
    UPDATE numbering.leases l
    SET state = m.state, auto_renew = r.auto_renew, renewal_retry_at = r.renewal_retry_at, reminded_at = r.reminded_at,
        ends_at = r.ends_at, locked = r.locked
    FROM moved m
    CROSS JOIN LATERAL jsonb_to_record(m.lease) AS r (
        auto_renew boolean, renewal_retry_at timestamptz, reminded_at timestamptz, ends_at timestamptz, locked boolean)
    WHERE l.identifier = m.identifier AND l.lease_id = m.lease_id AND NOT m.lease_is_new AND m.lease IS NOT NULL
),
leases_made AS (
    INSERT INTO numbering.leases (
        identifier, lease_id, prior_lease_id, identifier_class, shown, tenant_id, state, effective_from, effective_until,
        ends_at, term, auto_renew, vanity, locked, price_amount, price_currency, price_per)
    SELECT m.identifier, m.lease_id, r.prior_lease_id, r.identifier_class, r.shown, m.tenant_id, m.state, r.effective_from,
           m.effective_until, r.ends_at, r.term, r.auto_renew, r.vanity, r.locked, r.price_amount, r.price_currency,
           r.price_per
    FROM moved m
    CROSS JOIN LATERAL jsonb_to_record(m.lease) AS r (
        prior_lease_id uuid, identifier_class text, shown text, effective_from timestamptz, ends_at timestamptz, term text,
        auto_renew boolean, vanity boolean, locked boolean, price_amount numeric, price_currency text, price_per text)
    WHERE m.lease_is_new
    RETURNING *
),
terms_recorded AS (
    INSERT INTO numbering.lease_history (
        identifier, lease_id, prior_lease_id, tenant_id, effective_from, effective_until, term, price_amount,
        price_currency, price_per, charge_id, recorded_at)
    SELECT l.identifier, l.lease_id, l.prior_lease_id, l.tenant_id, l.effective_from, l.effective_until, l.term,
           l.price_amount, l.price_currency, l.price_per, m.charge_id, moment.at
    FROM leases_made l JOIN moved m ON m.identifier = l.identifier CROSS JOIN moment
),
-- What billing was asked has led to a term that tells its charge.
renewals_settled AS (
    DELETE FROM numbering.renewal_requests r USING leases_made l
    WHERE r.identifier = l.identifier AND r.lease_id = l.prior_lease_id
),
journalled AS (
    INSERT INTO numbering.journal (
        subject, subject_kind, version, event_id, type, state, tenant_id, lease_id, deadline, data, actor, request_id, at)
    SELECT entry.identifier, 'number', entry.version, entry.event_id, entry.type, entry.state, entry.tenant_id,
           entry.lease_id, entry.deadline, entry.data, coalesce(entry.actor, entry.asked_by), entry.request_id, entry.at
    FROM (
        SELECT m.identifier, m.at, m.actor AS asked_by, m.request_id, s.*
        FROM moved m
        CROSS JOIN LATERAL jsonb_to_recordset(m.steps) AS s (
            version bigint, event_id uuid, type text, state text, tenant_id text, lease_id uuid, deadline timestamptz,
            data jsonb, actor text)
        ORDER BY m.identifier, s.version
    ) AS entry
    RETURNING subject, seq
),
to_publish AS (
    INSERT INTO numbering.outbox (subject, seq) SELECT j.subject, j.seq FROM journalled j
),
answered AS (
    UPDATE numbering.idempotency_keys k
    SET status = a.status, body = a.body
    FROM answers a
    WHERE k.scope = a.scope AND k.route = a.route AND k.key = a.key AND k.owner = a.owner
        AND a.owner IN (SELECT m.asked_under FROM moved m)
)
SELECT m.identifier, 'MOVED' AS outcome FROM moved m
UNION ALL
SELECT a.identifier, 'OUTDATED' FROM admitted a
JOIN locked l ON l.identifier = a.identifier AND l.version > a.expected_version
UNION ALL
SELECT h.identifier, h.outcome FROM hindered h
