-- Leases whose end, with its grace, has come, the longest overdue first. $1 the most rows.
--
-- The clock is asked once, in a subquery: only then is it a condition of the index, and not of every entry that it has.
SELECT clock_timestamp() AS now, n.*
FROM (
    SELECT c.identifier FROM numbering.claims c
    WHERE c.state IN ('LEASED', 'SUSPENDED') AND c.deadline <= (SELECT clock_timestamp())
    ORDER BY c.deadline, c.identifier
    LIMIT $1
) AS due
JOIN numbering.number_with_lease n ON n.identifier = due.identifier
