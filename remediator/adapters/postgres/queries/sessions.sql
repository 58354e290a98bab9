-- Every session that takes a connection slot, and every walsender, with what decides whether it may
-- be terminated. The text of the last statement is looked at here and never leaves the server:
-- a session whose last statement mentions LISTEN waits for notifications for as long as it lives.
select
    a.pid,
    a.backend_start,
    a.usename,
    a.datname,
    coalesce(a.application_name, ''),
    host(a.client_addr),
    a.backend_type,
    a.state,
    a.state_change,
    coalesce(
        case when a.state = 'idle' then extract(epoch from clock_timestamp() - a.state_change) end, 0
    )::float8,
    a.xact_start is not null or a.backend_xid is not null or coalesce(a.state, '') like 'idle in transaction%%',
    coalesce(r.rolsuper, false),
    a.pid = pg_backend_pid() or (a.usename = current_user and a.application_name = %(own)s),
    locks.pid is not null,
    coalesce(a.query ~* '\mlisten\M', false),
    a.backend_type is null or (a.backend_type = 'client backend' and a.state is null),
    coalesce(a.state = 'idle' and a.query_start is null and a.xact_start is null, false)
from pg_stat_activity a
left join pg_roles r on r.oid = a.usesysid
left join (select distinct pid from pg_locks where locktype = 'advisory') locks on locks.pid = a.pid
where a.backend_type is null or a.backend_type in ('client backend', 'walsender')
