-- What the service has to tell its operators, raised and resolved by itself.

CREATE TABLE numbering.alerts (
    -- Begins with its time, so that ids ascend with it.
    alert_id    uuid        PRIMARY KEY,
    name        text COLLATE "C" NOT NULL CHECK (name ~ '^numbering_[a-z0-9_]{1,100}$'),
    -- SEV1 pages somebody now; CRITICAL is for today; WARNING is for whoever looks next.
    severity    text        NOT NULL CHECK (severity IN ('SEV1', 'CRITICAL', 'WARNING')),
    -- What it is about: a replica, a consumer, a pool.
    subject     text COLLATE "C" NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    summary     text        NOT NULL,
    runbook     text        NOT NULL,
    raised_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Not held against raised_at: the alert may be about the clock itself.
    resolved_at timestamptz
);
CREATE UNIQUE INDEX alerts_one_open ON numbering.alerts (name, subject) WHERE resolved_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON numbering.alerts TO numbering_service;
