-- The first and the last identifier of one range of what is AVAILABLE, or NULLs. $1 class; $2 eligibility for vanity; $3 operator or
-- NULL; $4 and $5 the half-open range of identifiers. Each is one look into one index.
SELECT
    CASE WHEN $3::text IS NULL THEN (
        SELECT a.identifier FROM numbering.numbers a
        WHERE a.state = 'AVAILABLE'
            AND (a.identifier_class, a.vanity_eligible, a.identifier) >= ($1::text, $2::boolean, $4::text)
            AND (a.identifier_class, a.vanity_eligible, a.identifier) < ($1, $2, $5::text)
        ORDER BY a.identifier_class, a.vanity_eligible, a.identifier LIMIT 1)
    ELSE (
        SELECT a.identifier FROM numbering.numbers a
        WHERE a.state = 'AVAILABLE'
            AND (a.operator_id, a.vanity_eligible, a.identifier) >= ($3, $2, $4)
            AND (a.operator_id, a.vanity_eligible, a.identifier) < ($3, $2, $5)
        ORDER BY a.operator_id, a.vanity_eligible, a.identifier LIMIT 1)
    END AS first,
    CASE WHEN $3 IS NULL THEN (
        SELECT a.identifier FROM numbering.numbers a
        WHERE a.state = 'AVAILABLE'
            AND (a.identifier_class, a.vanity_eligible, a.identifier) >= ($1, $2, $4)
            AND (a.identifier_class, a.vanity_eligible, a.identifier) < ($1, $2, $5)
        ORDER BY a.identifier_class DESC, a.vanity_eligible DESC, a.identifier DESC LIMIT 1)
    ELSE (
        SELECT a.identifier FROM numbering.numbers a
        WHERE a.state = 'AVAILABLE'
            AND (a.operator_id, a.vanity_eligible, a.identifier) >= ($3, $2, $4)
            AND (a.operator_id, a.vanity_eligible, a.identifier) < ($3, $2, $5)
        ORDER BY a.operator_id DESC, a.vanity_eligible DESC, a.identifier DESC LIMIT 1)
    END AS last
