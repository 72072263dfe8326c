-- For this transaction: $1 milliseconds for each statement, for a lock (another import is waited for),
-- and between statements; memory to sort with; and tables may be read whole.
SELECT set_config('statement_timeout', $1, true),
       set_config('lock_timeout', $1, true),
       set_config('idle_in_transaction_session_timeout', $1, true),
       set_config('work_mem', '64MB', true),
       set_config('enable_seqscan', 'on', true)
