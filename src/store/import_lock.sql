-- One import at a time of each source, $1, until the transaction ends. The first key is this lock's own.
SELECT pg_advisory_xact_lock(1852403052, $1)
