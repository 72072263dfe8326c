-- Writes down a run, unless the role that it ran on has gone to another. $1 role; $2 holder; $3 term; $4 job; $5 requests that it
-- answers; $6 when it runs next by its schedule; $7 whether the run is kept; $8 trigger; $9 the holder's name; $10 when it
-- began; $11 outcome; $12 result; $13 and $14 the moment that is expected, and by how many seconds PostgreSQL's clock may be off it.
WITH role AS MATERIALIZED (
    SELECT l.term FROM numbering.leaderships l
    WHERE l.role = $1 AND l.holder = $2 AND l.term = $3
    FOR SHARE
),
job AS (
    UPDATE numbering.jobs j SET answered = greatest(j.answered, $5), next_run = $6
    WHERE j.job = $4 AND EXISTS (SELECT FROM role)
)
INSERT INTO numbering.job_runs (job, trigger, holder, started_at, finished_at, outcome, result)
SELECT $4, $8, $9, $10,
       CASE WHEN abs(extract(epoch FROM clock_timestamp() - $13::timestamptz))::float8 <= $14::float8
            THEN clock_timestamp() ELSE $13 END,
       $11, $12
FROM role WHERE $7
