SELECT format('ALTER DATABASE %I RENAME TO %I', $1::text, $2::text)
