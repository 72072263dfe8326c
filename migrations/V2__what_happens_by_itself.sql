-- What happens by itself: claims and leases that run out, renewals, jobs that any number of replicas share, the clock.

-- Reservations and holds are swept apart from leases: what is due first of each is asked for several times a second.
DROP INDEX numbering.claims_by_deadline;
CREATE INDEX claims_reserved_by_deadline ON numbering.claims (deadline, identifier) WHERE state IN ('RESERVED', 'HELD');
CREATE INDEX claims_leased_by_deadline ON numbering.claims (deadline, identifier) WHERE state IN ('LEASED', 'SUSPENDED');

ALTER TABLE numbering.leases
    -- After a refused renewal: it is not asked for again before then.
    ADD COLUMN renewal_retry_at timestamptz,
    -- When the tenant was last reminded that the grace runs out.
    ADD COLUMN reminded_at timestamptz;
CREATE INDEX leases_to_renew ON numbering.leases (effective_until, identifier) WHERE auto_renew AND state = 'LEASED';
CREATE INDEX leases_in_grace ON numbering.leases (effective_until, identifier)
    WHERE state IN ('LEASED', 'SUSPENDED') AND ends_at > effective_until;

-- A number with the lease in force, in the columns that a decision is read from: amounts as text, as the domain parses them.
DROP VIEW numbering.number_with_lease;
CREATE VIEW numbering.number_with_lease AS
SELECT n.*,
       l.prior_lease_id, l.effective_from, l.ends_at, l.term, l.auto_renew, l.renewal_retry_at, l.reminded_at, l.vanity,
       l.locked, l.price_amount::text AS price_amount, l.price_currency, l.price_per
FROM numbering.numbers n
LEFT JOIN numbering.leases l
    ON l.identifier = n.identifier AND l.lease_id = n.lease_id AND n.state IN ('LEASED', 'SUSPENDED');
GRANT SELECT ON numbering.number_with_lease TO numbering_service;

-- The replica that a holder is, as operators know it.
ALTER TABLE numbering.leaderships ADD COLUMN holder_name text NOT NULL DEFAULT '';

-- A job's row: when it runs next by its schedule, and who asked for a run. The role `job:<name>` says who may run it.
CREATE TABLE numbering.jobs (
    job       text COLLATE "C" PRIMARY KEY,
    schedule  text        NOT NULL,
    next_run  timestamptz NOT NULL,
    -- How many runs were asked for, and how many of these have been answered by a run that began later.
    requested bigint      NOT NULL DEFAULT 0,
    answered  bigint      NOT NULL DEFAULT 0 CHECK (answered <= requested)
);

-- Runs that did something, were asked for, came by the schedule, or failed.
CREATE TABLE numbering.job_runs (
    job         text COLLATE "C" NOT NULL REFERENCES numbering.jobs,
    run         bigint GENERATED ALWAYS AS IDENTITY,
    trigger     text        NOT NULL CHECK (trigger IN ('SCHEDULE', 'DEADLINE', 'REQUEST')),
    holder      text        NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('DONE', 'FAILED', 'INTERRUPTED')),
    result      jsonb       NOT NULL,
    PRIMARY KEY (job, run)
);

-- The latest time that the database's clock was seen to show while it was trusted. It never goes back.
CREATE TABLE numbering.clock (
    only_one   boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    high_water timestamptz NOT NULL
);

-- The journal also tells of what is no number, block, operator or tenant: alerts and reports.
ALTER TABLE numbering.journal DROP CONSTRAINT journal_subject_kind_check;
ALTER TABLE numbering.journal ADD CONSTRAINT journal_subject_kind_check
    CHECK (subject_kind IN ('number', 'block', 'operator', 'tenant', 'alert', 'report'));
CREATE INDEX journal_overrides ON numbering.journal (at) WHERE type = 'numbering.quarantine.overridden';

GRANT SELECT, INSERT, UPDATE ON numbering.jobs, numbering.clock TO numbering_service;
GRANT SELECT, INSERT, DELETE ON numbering.job_runs TO numbering_service;
