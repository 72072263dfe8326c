-- What happened in every pool on the days from $1 on and before $2, and since when its operator's pools are followed.
SELECT d.identifier_class, d.operator_id, d.block_prefix, d.day, d.imported, d.taken, d.given_back, d.rested,
       (o.followed_since AT TIME ZONE 'UTC')::date AS followed_since
FROM numbering.pool_days d JOIN numbering.pool_operators o ON o.operator_id = d.operator_id
WHERE d.day >= $1 AND d.day < $2
ORDER BY d.identifier_class, d.operator_id, d.block_prefix, d.day
