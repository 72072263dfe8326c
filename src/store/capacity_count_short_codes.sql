-- Counts the short codes by range. They are few, and begin with a digit.
SELECT numbering.short_code_range(n.identifier) AS head, n.state,
       numbering.pool_due(n.state, n.version, n.deadline, n.valid_from)::text AS due, count(*) AS numbers
FROM numbering.numbers n
WHERE n.identifier >= '0' AND n.identifier < ':' AND n.identifier_class = 'SHORT_CODE'
GROUP BY 1, 2, 3
