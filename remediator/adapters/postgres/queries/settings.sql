-- Settle this session: never write, never wait long, and never be cleaned away as idle ourselves.
-- Times come in UTC, so that the hour that a change of the clocks repeats is not ambiguous. Text comes
-- unconverted where it can, because a name that is invalid in the encoding fails a conversion.
-- The server, too, finds out soon that we are gone: until then our old session keeps the right to act.
-- Joined with pg_settings because an older server does not know all of them.
select set_config(wanted.name, wanted.value, false)
from pg_settings s
join (values
    ('default_transaction_read_only', 'on'),
    ('lock_timeout', '1s'),
    ('idle_in_transaction_session_timeout', '10s'),
    ('idle_session_timeout', '0'),
    ('transaction_timeout', '0'),
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_deferrable', 'off'),
    ('jit', 'off'),
    ('TimeZone', 'UTC'),
    (
        'client_encoding',
        case when current_setting('server_encoding') = 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end
    ),
    ('tcp_keepalives_idle', %(keepalives_idle)s),
    ('tcp_keepalives_interval', %(keepalives_interval)s),
    ('tcp_keepalives_count', %(keepalives_count)s),
    ('tcp_user_timeout', %(tcp_user_timeout)s),
    ('statement_timeout', %(statement_timeout)s)
) as wanted (name, value) on wanted.name = s.name
