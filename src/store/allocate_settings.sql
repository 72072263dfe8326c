-- For one search: a range comes in the order of its index, a stretch at a time, and nothing else will do. The planner guesses badly
-- how many rows a range of several columns has, and for minutes after an import it knows the pool of before: then it would read a
-- range of millions and sort it.
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_sort', 'off', true)
