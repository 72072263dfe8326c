INSERT INTO numbering.operators (operator_id, name) VALUES ($1, $2)
ON CONFLICT (operator_id) DO UPDATE SET name = excluded.name, updated_at = clock_timestamp()
