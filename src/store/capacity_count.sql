-- Counts an operator's numbers within a range of identifiers, by the head of each. $1 operator; $2 the first identifier; $3 the one
-- beyond the last; $4 the length of a head.
SELECT left(n.identifier, $4) AS head, n.state, numbering.pool_due(n.state, n.version, n.deadline, n.valid_from)::text AS due,
       count(*) AS numbers
FROM numbering.numbers n
WHERE n.identifier >= $2 AND n.identifier < $3 AND n.operator_id = $1 AND n.identifier_class = 'MSISDN'
GROUP BY 1, 2, 3
