SELECT o.name,
       ARRAY(SELECT p.prefix FROM numbering.operator_prefixes p WHERE p.operator_id = o.operator_id ORDER BY p.prefix) AS prefixes
FROM numbering.operators o
WHERE o.operator_id = $1
