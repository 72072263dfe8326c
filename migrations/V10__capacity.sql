-- How much of each pool is left: counts that a follower of the journal keeps, so that no commit writes them. A pool is what falls
-- under one prefix of an operator, or a range of short codes (`4xxx`), which has no operator: ''. Alphanumeric sender IDs are
-- made up by those who want them; they do not run out.

-- The range that a short code belongs to: its first digit and its length, as regulators assign them.
CREATE FUNCTION numbering.short_code_range(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN left($1, 1) || repeat('x', length($1) - 1);

-- The full hour or day (UTC) that a moment belongs to, at its end; nothing ends early by being rounded.
CREATE FUNCTION numbering.hour_end(timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN date_trunc('hour', $1 + interval '1 hour' - interval '1 microsecond', 'UTC');
CREATE FUNCTION numbering.day_end(timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN date_trunc('day', $1 + interval '1 day' - interval '1 microsecond', 'UTC');

-- When time alone changes what a number is good for, as far as it is counted: a resting number's last day, and the validFrom of
-- one that nobody has had yet; the epoch where there is none. $1 state; $2 version; $3 deadline; $4 validFrom.
CREATE FUNCTION numbering.pool_due(text, bigint, timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN $1 = 'QUARANTINE' THEN numbering.day_end($3)
        WHEN $1 = 'AVAILABLE' AND $2 = 0 THEN coalesce(numbering.hour_end($4), 'epoch')
        ELSE 'epoch'
    END;

-- What a block brought, by the heads of its numbers: as long as the longest prefix of their operator by then, or a range of
-- short codes. So a block of a million is counted once, in its own commit.
CREATE TABLE numbering.block_heads (
    block_id         uuid        NOT NULL REFERENCES numbering.blocks,
    identifier_class text        NOT NULL CHECK (identifier_class IN ('MSISDN', 'SHORT_CODE')),
    head             text COLLATE "C" NOT NULL,
    due              timestamptz NOT NULL,
    numbers          bigint      NOT NULL CHECK (numbers > 0),
    PRIMARY KEY (block_id, identifier_class, head, due)
);

-- What of the journal is in the counts: all that this snapshot saw.
CREATE TABLE numbering.pool_position (
    only_one boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    seen     pg_snapshot NOT NULL,
    -- Entries up to this one came with a restore into another cluster of PostgreSQL, whose transactions are numbered anew: they are
    -- in the counts, and the numbers of their transactions say nothing.
    restored bigint      NOT NULL DEFAULT 0
);
INSERT INTO numbering.pool_position (seen) VALUES (pg_current_snapshot());

-- Whose pools are counted, and by which prefixes; '' for the short codes.
CREATE TABLE numbering.pool_operators (
    operator_id    text COLLATE "C" PRIMARY KEY,
    prefixes       text[] COLLATE "C" NOT NULL,
    followed_since timestamptz NOT NULL,
    counted_at     timestamptz NOT NULL,
    -- The counts are to be made anew.
    stale          boolean     NOT NULL DEFAULT false
);

CREATE TABLE numbering.pool_counts (
    identifier_class text        NOT NULL CHECK (identifier_class IN ('MSISDN', 'SHORT_CODE')),
    operator_id      text COLLATE "C" NOT NULL,
    block_prefix     text COLLATE "C" NOT NULL,
    state            text        NOT NULL,
    due              timestamptz NOT NULL,
    numbers          bigint      NOT NULL,
    PRIMARY KEY (identifier_class, operator_id, block_prefix, state, due)
);

-- What happened in a pool on a day (UTC): numbers that came in, that were taken out of AVAILABLE, that came back without a rest, and
-- that went to rest.
CREATE TABLE numbering.pool_days (
    identifier_class text   NOT NULL CHECK (identifier_class IN ('MSISDN', 'SHORT_CODE')),
    operator_id      text COLLATE "C" NOT NULL,
    block_prefix     text COLLATE "C" NOT NULL,
    day              date   NOT NULL,
    imported         bigint NOT NULL,
    taken            bigint NOT NULL,
    given_back       bigint NOT NULL,
    rested           bigint NOT NULL,
    PRIMARY KEY (identifier_class, operator_id, block_prefix, day)
);
CREATE INDEX pool_days_by_day ON numbering.pool_days (day);

-- Whether Alertmanager has acknowledged that an alert is over.
ALTER TABLE numbering.alerts ADD COLUMN end_acknowledged boolean NOT NULL DEFAULT false;
UPDATE numbering.alerts SET end_acknowledged = true WHERE resolved_at IS NOT NULL;
CREATE INDEX alerts_to_push ON numbering.alerts (alert_id) WHERE NOT end_acknowledged;

GRANT SELECT, INSERT ON numbering.block_heads TO numbering_service;
GRANT SELECT, UPDATE ON numbering.pool_position TO numbering_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON numbering.pool_operators, numbering.pool_counts, numbering.pool_days TO numbering_service;
