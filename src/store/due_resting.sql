-- Numbers whose rest is over, the longest overdue first. $1 the most rows.
--
-- The clock is asked once, in a subquery: only then is it a condition of the index, and not of every entry that it has.
SELECT clock_timestamp() AS now, n.*
FROM (
    SELECT r.identifier FROM numbering.numbers r
    WHERE r.state = 'QUARANTINE' AND r.deadline <= (SELECT clock_timestamp())
    ORDER BY r.deadline, r.identifier
    LIMIT $1
) AS due
JOIN numbering.number_with_lease n ON n.identifier = due.identifier
