LOCK TABLE numbering.operator_prefixes IN SHARE ROW EXCLUSIVE MODE
