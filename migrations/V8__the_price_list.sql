-- The price list by class, tier, plan and operator, each price for a stretch of time. What was agreed stands in the leases; the
-- list says what is agreed from now on.
--
-- `numbering.prices` stays as it was for replicas of the release before, and nothing else reads it.

-- Equality of texts beside the overlap of times in one exclusion constraint. It comes with PostgreSQL, and whoever may make
-- the schema may make it.
CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA numbering;

CREATE TABLE numbering.price_list (
    price_id         uuid PRIMARY KEY,
    identifier_class text NOT NULL CHECK (identifier_class IN ('MSISDN', 'SHORT_CODE', 'ALPHA')),
    price_tier       text COLLATE "C" NOT NULL,
    -- NULL: every plan.
    plan             text COLLATE "C" REFERENCES numbering.plans,
    -- NULL: every operator, and what comes from none.
    operator_id      text COLLATE "C" REFERENCES numbering.operators,
    amount           numeric(12, 4) NOT NULL CHECK (amount >= 0),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    per              text NOT NULL CHECK (per IN ('month', 'year')),
    valid_from       timestamptz NOT NULL,
    -- NULL: until further notice.
    valid_until      timestamptz CHECK (valid_until > valid_from),
    CONSTRAINT price_list_one_at_a_time EXCLUDE USING gist (
        identifier_class WITH =,
        price_tier WITH =,
        (coalesce(plan, '')) WITH =,
        (coalesce(operator_id, '')) WITH =,
        tstzrange(valid_from, valid_until) WITH &&)
);

INSERT INTO numbering.price_list (price_id, identifier_class, price_tier, amount, currency, per, valid_from)
SELECT gen_random_uuid(), p.identifier_class, p.price_tier, p.amount, p.currency, p.per, 'epoch'
FROM numbering.prices p;

-- Which price holds at a moment: the one for the plan and the operator, else for the plan, else for the operator, else the
-- general one. No two of a kind hold at once. The definition is this one alone. It is inlined where no argument is a subquery, and
-- then reads from the index of the constraint what holds at the moment, however much has held before.
CREATE FUNCTION numbering.price_for(
    of_class text, of_tier text, for_plan text, from_operator text, at_moment timestamptz)
RETURNS TABLE (price_id uuid, amount numeric, currency text, per text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.price_id, p.amount, p.currency, p.per
    FROM numbering.price_list p
    WHERE p.identifier_class = of_class AND p.price_tier = of_tier
        AND tstzrange(p.valid_from, p.valid_until) @> at_moment
        AND (p.plan IS NULL OR p.plan = for_plan)
        AND (p.operator_id IS NULL OR p.operator_id = from_operator)
    ORDER BY p.plan IS NULL, p.operator_id IS NULL
    LIMIT 1;
END;

-- The journal also tells of prices. Every row keeps the rule before, which was narrower, so that none needs to be read again.
ALTER TABLE numbering.journal DROP CONSTRAINT journal_subject_kind_check;
ALTER TABLE numbering.journal ADD CONSTRAINT journal_subject_kind_check
    CHECK (subject_kind IN ('number', 'block', 'operator', 'tenant', 'alert', 'report', 'price')) NOT VALID;

REVOKE INSERT, UPDATE, DELETE ON numbering.prices FROM numbering_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON numbering.price_list TO numbering_service;
