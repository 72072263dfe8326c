SELECT format('CREATE ROLE %I LOGIN %s PASSWORD %L', $1::text, $2::text, $3::text)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
