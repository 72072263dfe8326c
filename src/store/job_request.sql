-- Asks for a run of a job. $1 job. No row where there is no such job.
UPDATE numbering.jobs j SET requested = j.requested + 1 WHERE j.job = $1 RETURNING j.requested
