-- Which of $2 belong to an operator other than $1.
SELECT p.prefix FROM numbering.operator_prefixes p
WHERE p.prefix = ANY ($2) AND p.operator_id <> $1
ORDER BY p.prefix
