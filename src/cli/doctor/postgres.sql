-- What the serving role sees of its database. It must work before the first migration too, hence to_regclass.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::int AS version_number,
    pg_is_in_recovery() AS is_standby,
    current_setting('fsync')::bool AND current_setting('full_page_writes')::bool AS is_durable,
    extract(epoch FROM clock_timestamp())::float8 AS now,
    to_regclass('public.refinery_schema_history') IS NOT NULL AS has_history,
    current_user::text AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
    coalesce(has_table_privilege(to_regclass('numbering.journal'), 'SELECT'), false)
        AND coalesce(has_table_privilege(to_regclass('numbering.journal'), 'INSERT'), false) AS may_write_journal,
    coalesce(has_table_privilege(to_regclass('numbering.journal'), 'UPDATE'), false)
        OR coalesce(has_table_privilege(to_regclass('numbering.journal'), 'DELETE'), false)
        OR coalesce(has_table_privilege(to_regclass('numbering.journal'), 'TRUNCATE'), false) AS may_change_journal
