COPY pg_temp.import_rows (line, identifier, identifier_class, shown, vanity_eligible, price_tier, valid_from, value, reason)
FROM STDIN (FORMAT binary)
