-- For this transaction: $1 milliseconds for each statement, and between two; and tables may be read whole.
SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true),
       set_config('enable_seqscan', 'on', true)
