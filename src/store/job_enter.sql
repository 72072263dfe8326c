-- Makes a job known, or its schedule, where that has changed. $1 job; $2 schedule; $3 when it runs next by it.
INSERT INTO numbering.jobs AS j (job, schedule, next_run) VALUES ($1, $2, $3)
ON CONFLICT (job) DO UPDATE SET schedule = excluded.schedule, next_run = excluded.next_run
WHERE j.schedule <> excluded.schedule
