-- The pool as it is browsed: what is AVAILABLE, by class, eligibility and operator, each in the order of identifiers, so that a
-- page costs the same wherever it is and however many numbers there are.

DROP INDEX numbering.numbers_browse;
DROP INDEX numbering.numbers_browse_operator;
CREATE INDEX numbers_available ON numbering.numbers (identifier_class, vanity_eligible, identifier)
    WHERE state = 'AVAILABLE';
CREATE INDEX numbers_available_of_operator ON numbering.numbers (operator_id, vanity_eligible, identifier)
    WHERE state = 'AVAILABLE';
