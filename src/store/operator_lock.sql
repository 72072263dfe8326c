SELECT o.operator_id FROM numbering.operators o WHERE o.operator_id = $1 FOR NO KEY UPDATE
