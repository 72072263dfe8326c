-- Forgets all but the latest runs of a job. $1 job; $2 how many are kept.
DELETE FROM numbering.job_runs r
WHERE r.job = $1 AND r.run <= (
    SELECT old.run FROM numbering.job_runs old WHERE old.job = $1 ORDER BY old.run DESC OFFSET $2 LIMIT 1)
