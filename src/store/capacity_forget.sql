-- Forgets what is not needed any more: days before $1, and counts of nothing.
WITH old AS (
    DELETE FROM numbering.pool_days d WHERE d.day < $1
)
DELETE FROM numbering.pool_counts c WHERE c.numbers = 0 AND c.state IN ('QUARANTINE', 'AVAILABLE') AND c.due > 'epoch'
