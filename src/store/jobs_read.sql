-- The jobs with who may run each now, and their latest runs, newest first, as JSON. $1 a job or NULL for all; $2 the most runs
-- of each.
SELECT j.job, j.schedule, j.next_run,
       (SELECT l.holder_name FROM numbering.leaderships l
        WHERE l.role = 'job:' || j.job AND l.expires_at > clock_timestamp()) AS holder,
       coalesce((
           SELECT jsonb_agg(to_jsonb(latest) ORDER BY latest.run DESC)
           FROM (
               SELECT r.run, r.trigger, r.holder, r.started_at, r.finished_at, r.outcome, r.result
               FROM numbering.job_runs r WHERE r.job = j.job ORDER BY r.run DESC LIMIT $2
           ) AS latest), '[]') AS runs
FROM numbering.jobs j
WHERE $1::text IS NULL OR j.job = $1
ORDER BY j.job
