INSERT INTO numbering.operator_prefixes (prefix, operator_id)
SELECT wanted.prefix, $1 FROM unnest($2::text[]) AS wanted (prefix)
ON CONFLICT (prefix) DO NOTHING
