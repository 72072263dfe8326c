-- $1 cascade.
SELECT c.* FROM numbering.cascade_progress c WHERE c.cascade_id = $1
