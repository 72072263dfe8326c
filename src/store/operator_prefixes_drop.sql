DELETE FROM numbering.operator_prefixes WHERE operator_id = $1 AND prefix <> ALL ($2)
