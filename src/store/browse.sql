-- What a tenant may take now, by identifier.
-- $1 class or NULL; $2 after this identifier; $3 and $4 the half-open range of identifiers that a prefix means; $5 operator or
-- NULL; $6 vanity or NULL; $7 the tenant or NULL; $8 identifiers that are never leased; $9 the most rows; $10 and $11 the moment
-- that is expected, and by how many seconds PostgreSQL's clock may be off it.
WITH moment AS MATERIALIZED (
    SELECT CASE WHEN abs(extract(epoch FROM clock_timestamp() - $10::timestamptz))::float8 <= $11::float8
                THEN clock_timestamp() ELSE $10 END AS at
)
SELECT n.identifier, n.identifier_class, n.shown, n.operator_id, n.vanity_eligible,
       p.amount::text AS list_amount, p.currency AS list_currency, p.per AS list_per
FROM numbering.numbers n
JOIN numbering.prices p ON p.identifier_class = n.identifier_class AND p.price_tier = n.price_tier
WHERE ($1::text IS NULL OR n.identifier_class = $1)
  AND n.identifier > $2
  AND n.identifier >= $3
  AND n.identifier < $4
  AND ($5::text IS NULL OR n.operator_id = $5)
  AND ($6::boolean IS NULL OR n.vanity_eligible = $6)
  AND n.state IN ('AVAILABLE', 'RESERVED', 'HELD', 'QUARANTINE')
  -- Time counts at use: what has run out is free, whether or not it has been written down.
  AND (n.state = 'AVAILABLE' OR n.deadline <= (SELECT m.at FROM moment m))
  AND (n.valid_from IS NULL OR n.valid_from <= (SELECT m.at FROM moment m))
  AND n.identifier <> ALL ($8)
  AND NOT EXISTS (
      SELECT FROM jsonb_to_recordset(n.bars) AS bar (tenant text, until timestamptz)
      WHERE bar.tenant = $7 AND bar.until > (SELECT m.at FROM moment m))
  AND ($7::text IS NULL OR n.operator_id IS NULL OR NOT EXISTS (
      SELECT FROM numbering.tenants t
      WHERE t.tenant_id = $7 AND t.operator_allowlist IS NOT NULL AND n.operator_id <> ALL (t.operator_allowlist)))
ORDER BY n.identifier
LIMIT $9
