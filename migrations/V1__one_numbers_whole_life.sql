-- The truth about every number. Words are those of the contract; CHECKs mirror the enums of the domain crate.
--
-- Every primary and unique key on a hot table begins with `identifier` (or `subject`, which is one), so that the tables can
-- be distributed by it. There are no foreign keys between hot tables: they have one writer, which writes them together.

DO $$
BEGIN
    CREATE ROLE numbering_service NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

CREATE SCHEMA IF NOT EXISTS numbering;
GRANT USAGE ON SCHEMA numbering TO numbering_service;

-- Operators, their prefixes, and the keys that they sign blocks with.

CREATE TABLE numbering.operators (
    operator_id text COLLATE "C" PRIMARY KEY,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE numbering.operator_prefixes (
    prefix      text COLLATE "C" PRIMARY KEY CHECK (prefix ~ '^\+[0-9]{1,15}$'),
    operator_id text COLLATE "C" NOT NULL REFERENCES numbering.operators
);
CREATE INDEX operator_prefixes_by_operator ON numbering.operator_prefixes (operator_id, prefix);

CREATE TABLE numbering.mno_signing_keys (
    operator_id text COLLATE "C" NOT NULL REFERENCES numbering.operators,
    key_id      text COLLATE "C" NOT NULL,
    algorithm   text        NOT NULL CHECK (algorithm IN ('ED25519', 'ECDSA_P256', 'RSA_PSS')),
    public_key  text        NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz CHECK (valid_until > valid_from),
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (operator_id, key_id)
);

-- What came in, and what of it was turned away.

CREATE TABLE numbering.blocks (
    block_id     uuid        PRIMARY KEY,
    operator_id  text COLLATE "C" REFERENCES numbering.operators,
    key_id       text COLLATE "C",
    file_sha256  text COLLATE "C",
    inserted     bigint      NOT NULL CHECK (inserted >= 0),
    duplicates   bigint      NOT NULL CHECK (duplicates >= 0),
    invalid      bigint      NOT NULL CHECK (invalid >= 0),
    imported_by  text        NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE numbering.block_rejects (
    block_id uuid   NOT NULL REFERENCES numbering.blocks,
    line     bigint NOT NULL,
    value    text   NOT NULL,
    reason   text   NOT NULL,
    PRIMARY KEY (block_id, line)
);

-- The price list: what one unit of time of a lease costs. Every tier that a number may have stands here.

CREATE TABLE numbering.prices (
    identifier_class text NOT NULL CHECK (identifier_class IN ('MSISDN', 'SHORT_CODE', 'ALPHA')),
    price_tier       text COLLATE "C" NOT NULL,
    amount           numeric(12, 4) NOT NULL CHECK (amount >= 0),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    per              text NOT NULL CHECK (per IN ('month', 'year')),
    PRIMARY KEY (identifier_class, price_tier)
);
INSERT INTO numbering.prices VALUES
    ('MSISDN', 'standard', 2.5, 'USD', 'month'),
    ('MSISDN', 'gold', 10, 'USD', 'month'),
    ('MSISDN', 'vanity', 25, 'USD', 'month'),
    ('SHORT_CODE', 'standard', 150, 'USD', 'month'),
    ('SHORT_CODE', 'gold', 300, 'USD', 'month'),
    ('SHORT_CODE', 'vanity', 500, 'USD', 'month'),
    ('ALPHA', 'standard', 5, 'USD', 'month'),
    ('ALPHA', 'gold', 20, 'USD', 'month'),
    ('ALPHA', 'vanity', 50, 'USD', 'month');

-- The inventory. One row a number; `version` is one more with each journal entry.

CREATE TABLE numbering.numbers (
    identifier       text COLLATE "C" PRIMARY KEY,
    identifier_class text NOT NULL,
    shown            text COLLATE "C" NOT NULL,
    operator_id      text COLLATE "C",
    block_id         uuid,
    vanity_eligible  boolean     NOT NULL DEFAULT false,
    price_tier       text COLLATE "C" NOT NULL DEFAULT 'standard',
    valid_from       timestamptz,
    version          bigint      NOT NULL DEFAULT 0,
    state            text        NOT NULL DEFAULT 'AVAILABLE',
    tenant_id        text COLLATE "C",
    reservation_id   uuid,
    lease_id         uuid,
    -- When time alone moves the number on: the claim's expiry, the lease's end (with its grace), the end of the rest.
    deadline         timestamptz,
    effective_until  timestamptz,
    ended_by         text CHECK (ended_by IN ('RECALL', 'EXPIRY')),
    -- [{tenant, until}]: who may not take the number (self-bypass).
    bars             jsonb       NOT NULL DEFAULT '[]',
    CONSTRAINT numbers_identifier_shape CHECK (
        CASE identifier_class
            WHEN 'MSISDN' THEN identifier ~ '^\+[0-9]{7,15}$'
            WHEN 'SHORT_CODE' THEN identifier ~ '^[0-9]{3,6}$'
            WHEN 'ALPHA' THEN identifier ~ '^[A-Z0-9_&-][A-Z0-9 _&+-]{1,9}[A-Z0-9_&+-]$'
                AND identifier ~ '[A-Z]' AND identifier !~ '  '
            ELSE false
        END),
    CONSTRAINT numbers_shown_is_a_spelling CHECK (upper(shown) = identifier),
    CONSTRAINT numbers_state_carries_its_data CHECK (
        CASE state
            WHEN 'AVAILABLE' THEN
                num_nonnulls(tenant_id, reservation_id, lease_id, deadline, effective_until, ended_by) = 0
            WHEN 'RESERVED' THEN num_nulls(tenant_id, reservation_id, deadline) = 0 AND lease_id IS NULL
            WHEN 'HELD' THEN num_nulls(tenant_id, reservation_id, deadline) = 0 AND lease_id IS NULL
            WHEN 'LEASED' THEN
                num_nulls(tenant_id, lease_id, deadline, effective_until) = 0 AND reservation_id IS NULL
            WHEN 'SUSPENDED' THEN
                num_nulls(tenant_id, lease_id, deadline, effective_until) = 0 AND reservation_id IS NULL
            WHEN 'QUARANTINE' THEN
                num_nulls(lease_id, deadline, ended_by) = 0 AND num_nonnulls(tenant_id, reservation_id) = 0
            ELSE false
        END)
) WITH (fillfactor = 90);
CREATE INDEX numbers_browse ON numbering.numbers (identifier_class, identifier)
    WHERE state IN ('AVAILABLE', 'RESERVED', 'HELD', 'QUARANTINE');
CREATE INDEX numbers_browse_operator ON numbering.numbers (operator_id, identifier_class, identifier)
    WHERE state IN ('AVAILABLE', 'RESERVED', 'HELD', 'QUARANTINE');
CREATE INDEX numbers_resting ON numbering.numbers (deadline, identifier) WHERE state = 'QUARANTINE';

-- Who has a number right now. The guarded update decides; the partial unique index is the backstop behind it.

CREATE TABLE numbering.claims (
    identifier text COLLATE "C" NOT NULL,
    claim_id   uuid        NOT NULL,
    tenant_id  text COLLATE "C" NOT NULL,
    state      text        NOT NULL CHECK (state IN ('RESERVED', 'HELD', 'LEASED', 'SUSPENDED')),
    deadline   timestamptz NOT NULL,
    PRIMARY KEY (identifier, claim_id)
);
CREATE UNIQUE INDEX claims_one_active ON numbering.claims (identifier)
    WHERE state IN ('RESERVED', 'HELD', 'LEASED', 'SUSPENDED');
CREATE INDEX claims_by_tenant ON numbering.claims (tenant_id, identifier);
CREATE INDEX claims_by_deadline ON numbering.claims (deadline, identifier);
CREATE INDEX claims_of_tenant_by_deadline ON numbering.claims (tenant_id, deadline);

CREATE TABLE numbering.leases (
    identifier       text COLLATE "C" NOT NULL,
    lease_id         uuid        NOT NULL,
    prior_lease_id   uuid,
    identifier_class text        NOT NULL,
    shown            text COLLATE "C" NOT NULL,
    tenant_id        text COLLATE "C" NOT NULL,
    state            text        NOT NULL CHECK (state IN ('LEASED', 'SUSPENDED', 'RECALLED', 'EXPIRED', 'RENEWED')),
    effective_from   timestamptz NOT NULL,
    effective_until  timestamptz NOT NULL CHECK (effective_until > effective_from),
    ends_at          timestamptz NOT NULL CHECK (ends_at >= effective_until),
    term             text        NOT NULL,
    auto_renew       boolean     NOT NULL,
    vanity           boolean     NOT NULL,
    locked           boolean     NOT NULL DEFAULT false,
    price_amount     numeric(12, 4) NOT NULL,
    price_currency   text        NOT NULL,
    price_per        text        NOT NULL,
    ended_at         timestamptz,
    PRIMARY KEY (identifier, lease_id),
    UNIQUE (identifier, prior_lease_id),
    CHECK ((ended_at IS NULL) = (state IN ('LEASED', 'SUSPENDED')))
);
CREATE INDEX leases_by_id ON numbering.leases (lease_id);
CREATE INDEX leases_by_tenant ON numbering.leases (tenant_id, lease_id);

-- One row for every term ever (US-NUM-005), never changed.
CREATE TABLE numbering.lease_history (
    identifier      text COLLATE "C" NOT NULL,
    lease_id        uuid        NOT NULL,
    prior_lease_id  uuid,
    tenant_id       text COLLATE "C" NOT NULL,
    effective_from  timestamptz NOT NULL,
    effective_until timestamptz NOT NULL,
    term            text        NOT NULL,
    price_amount    numeric(12, 4) NOT NULL,
    price_currency  text        NOT NULL,
    price_per       text        NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (identifier, lease_id),
    UNIQUE (identifier, prior_lease_id)
);

-- A number with the lease in force: what a decision is taken on.
CREATE VIEW numbering.number_with_lease AS
SELECT n.*,
       l.prior_lease_id, l.effective_from, l.ends_at, l.term, l.auto_renew, l.vanity, l.locked,
       l.price_amount, l.price_currency, l.price_per
FROM numbering.numbers n
LEFT JOIN numbering.leases l
    ON l.identifier = n.identifier AND l.lease_id = n.lease_id AND n.state IN ('LEASED', 'SUSPENDED');

-- Tenants: what decides about them is in one row, which a commit locks and counts in.

CREATE TABLE numbering.plans (
    plan         text COLLATE "C" PRIMARY KEY,
    msisdn       integer NOT NULL CHECK (msisdn >= 0),
    short_code   integer NOT NULL CHECK (short_code >= 0),
    alpha        integer NOT NULL CHECK (alpha >= 0),
    reservations integer NOT NULL CHECK (reservations >= 0),
    holds        integer NOT NULL CHECK (holds >= 0)
);
INSERT INTO numbering.plans VALUES
    ('starter', 50, 2, 5, 10, 5),
    ('business', 1000, 10, 25, 100, 50),
    ('premium', 200000, 100, 250, 1000, 500);

CREATE TABLE numbering.tenants (
    tenant_id          text COLLATE "C" PRIMARY KEY,
    plan               text COLLATE "C" NOT NULL REFERENCES numbering.plans,
    status             text        NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    -- One more with every change of plan, status, limits or allowlist.
    revision           bigint      NOT NULL DEFAULT 1,
    operator_allowlist text[],
    -- The limits in force: the tenant's own quota where it has one, else its plan's.
    limit_msisdn       integer     NOT NULL,
    limit_short_code   integer     NOT NULL,
    limit_alpha        integer     NOT NULL,
    limit_reservations integer     NOT NULL,
    limit_holds        integer     NOT NULL,
    used_msisdn        integer     NOT NULL DEFAULT 0 CHECK (used_msisdn >= 0),
    used_short_code    integer     NOT NULL DEFAULT 0 CHECK (used_short_code >= 0),
    used_alpha         integer     NOT NULL DEFAULT 0 CHECK (used_alpha >= 0),
    used_reservations  integer     NOT NULL DEFAULT 0 CHECK (used_reservations >= 0),
    used_holds         integer     NOT NULL DEFAULT 0 CHECK (used_holds >= 0),
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at         timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE INDEX tenants_suspended ON numbering.tenants (tenant_id) WHERE status = 'SUSPENDED';

-- A tenant's own quotas; NULL means the plan's.
CREATE TABLE numbering.tenant_quotas (
    tenant_id    text COLLATE "C" PRIMARY KEY REFERENCES numbering.tenants,
    msisdn       integer CHECK (msisdn >= 0),
    short_code   integer CHECK (short_code >= 0),
    alpha        integer CHECK (alpha >= 0),
    reservations integer CHECK (reservations >= 0),
    holds        integer CHECK (holds >= 0),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Everything that happened: audit trail, body of every event, history of every number. Append-only.

CREATE TABLE numbering.journal (
    subject      text COLLATE "C" NOT NULL,
    seq          bigint      GENERATED ALWAYS AS IDENTITY,
    subject_kind text        NOT NULL CHECK (subject_kind IN ('number', 'block', 'operator', 'tenant')),
    version      bigint,
    event_id     uuid        NOT NULL,
    type         text COLLATE "C" NOT NULL,
    -- For a number: how it stands after this entry, so that its history answers who held it when.
    state        text,
    tenant_id    text COLLATE "C",
    lease_id     uuid,
    deadline     timestamptz,
    data         jsonb       NOT NULL,
    actor        text        NOT NULL,
    request_id   text        NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (subject, seq)
);
CREATE UNIQUE INDEX journal_versions ON numbering.journal (subject, subject_kind, version) WHERE version IS NOT NULL;
CREATE INDEX journal_by_seq ON numbering.journal (seq);

-- Journal entries that JetStream has not acknowledged yet.
CREATE TABLE numbering.outbox (
    subject text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (subject, seq)
);
CREATE INDEX outbox_by_seq ON numbering.outbox (seq);

CREATE TABLE numbering.idempotency_keys (
    scope         text COLLATE "C" NOT NULL,
    route         text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    request_hash  bytea       NOT NULL,
    -- Who runs the request, and until when that is believed.
    owner         uuid        NOT NULL,
    claimed_until timestamptz NOT NULL,
    -- The answer, once there is one.
    status        integer,
    body          text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, route, key)
);
CREATE INDEX idempotency_keys_by_age ON numbering.idempotency_keys (created_at);

-- One holder at a time of a role that must not be played twice; `term` fences a holder that was frozen.
CREATE TABLE numbering.leaderships (
    role       text COLLATE "C" PRIMARY KEY,
    holder     uuid        NOT NULL,
    term       bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON numbering.journal, numbering.lease_history TO numbering_service;
GRANT SELECT ON numbering.plans, numbering.number_with_lease TO numbering_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    numbering.operators, numbering.operator_prefixes, numbering.mno_signing_keys, numbering.blocks,
    numbering.block_rejects, numbering.prices, numbering.numbers, numbering.claims, numbering.leases, numbering.tenants,
    numbering.tenant_quotas, numbering.outbox, numbering.idempotency_keys, numbering.leaderships
    TO numbering_service;
