-- Settle this session: never write, never wait long, and never be cleaned away as idle ourselves.
-- Joined with pg_settings because an older server does not know all of them.
select set_config(wanted.name, wanted.value, false)
from pg_settings s
join (values
    ('default_transaction_read_only', 'on'),
    ('lock_timeout', '1s'),
    ('idle_in_transaction_session_timeout', '10s'),
    ('idle_session_timeout', '0'),
    ('jit', 'off'),
    ('statement_timeout', %(statement_timeout)s)
) as wanted (name, value) on wanted.name = s.name
