-- What comes in: events of other services, each with one effect, and the recalls that a tenant's suspension brings with it.

-- Events that were received, by their identity in CloudEvents. The effect of one and its `done_at` are one commit.
CREATE TABLE numbering.inbox (
    source      text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL,
    -- How many times its effect was begun: one that kills who handles it is known by that.
    attempts    integer     NOT NULL DEFAULT 1 CHECK (attempts > 0),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at     timestamptz,
    PRIMARY KEY (source, event_id)
);
CREATE INDEX inbox_by_age ON numbering.inbox (received_at);

-- The recall of everything that a suspended tenant has, under one ticket. How far it has come, the claims tell.
CREATE TABLE numbering.cascades (
    cascade_id   uuid        PRIMARY KEY,
    tenant_id    text COLLATE "C" NOT NULL REFERENCES numbering.tenants,
    ticket_id    text        NOT NULL,
    -- The event that brought the suspension.
    source       text        NOT NULL,
    event_id     text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('AWAITING_CONFIRMATION', 'RUNNING', 'DONE', 'CANCELLED')),
    -- What the tenant had when it was suspended.
    leases       integer     NOT NULL CHECK (leases >= 0),
    reservations integer     NOT NULL CHECK (reservations >= 0),
    -- What was taken from it, once the cascade is finished.
    recalled     integer CHECK (recalled >= 0),
    released     integer CHECK (released >= 0),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    CHECK (num_nulls(recalled, released, finished_at) = CASE WHEN state IN ('DONE', 'CANCELLED') THEN 0 ELSE 3 END)
);
CREATE UNIQUE INDEX cascades_one_unfinished ON numbering.cascades (tenant_id)
    WHERE state IN ('AWAITING_CONFIRMATION', 'RUNNING');
CREATE INDEX cascades_unfinished ON numbering.cascades (state, cascade_id)
    WHERE state IN ('AWAITING_CONFIRMATION', 'RUNNING');

-- What was done for an event of compliance bears the event's id as its request: by it a finished cascade is counted.
CREATE INDEX journal_of_compliance ON numbering.journal (request_id, type) WHERE actor = 'compliance';

-- A cascade and how far it has come. Nothing can be granted to a suspended tenant, so that what it had and has no more was
-- taken from it, or ended by itself.
CREATE VIEW numbering.cascade_progress AS
SELECT c.cascade_id, c.tenant_id, c.ticket_id, c.event_id, c.state, c.leases, c.reservations,
       coalesce(c.recalled, greatest(0, c.leases - t.used_msisdn - t.used_short_code - t.used_alpha)) AS recalled,
       coalesce(c.released, greatest(0, c.reservations - t.used_reservations - t.used_holds)) AS released,
       c.created_at, c.finished_at
FROM numbering.cascades c
JOIN numbering.tenants t ON t.tenant_id = c.tenant_id;

GRANT SELECT, INSERT, UPDATE, DELETE ON numbering.inbox TO numbering_service;
GRANT SELECT, INSERT, UPDATE ON numbering.cascades TO numbering_service;
GRANT SELECT ON numbering.cascade_progress TO numbering_service;
