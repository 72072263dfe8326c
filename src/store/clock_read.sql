-- What PostgreSQL's clock shows, and the latest time that a replica saw while it trusted it. One row.
SELECT clock_timestamp() AS now, (SELECT c.high_water FROM numbering.clock c) AS high_water
