SELECT count(*) FROM numbering.mno_signing_keys k WHERE k.operator_id = $1
