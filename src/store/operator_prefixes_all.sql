SELECT p.prefix, p.operator_id FROM numbering.operator_prefixes p
