-- What a server says of its settings, roles and databases, for an audit. Needs no right beyond seeing sessions.
-- Settings are as sessions of our role get them, before this session changed any; where our role or database has
-- a value of its own, the server's is hidden from us.
-- Rows of pg_settings as JSON, because an older server does not have all of them.
with own as (
    select
        (select oid from pg_roles where rolname = current_user) as role,
        (select oid from pg_database where datname = current_database()) as place
),
overrides as (
    select
        s.setrole,
        s.setdatabase,
        r.rolname,
        d.datname,
        lower(split_part(c.entry, '=', 1)) as setting
    from pg_db_role_setting s
    cross join lateral unnest(s.setconfig) as c (entry)
    left join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
),
clients as (
    select
        usesysid,
        datid,
        coalesce(usename, '') as usename,
        application_name,
        backend_start <= clock_timestamp() - %(kept)s::interval as kept,
        -- What a pool runs to see whether a connection is alive. Only the fact leaves the server, never the text.
        coalesce(
            query ~* '^\s*select\s+1(\s+as\s+\w+)?\s*;?\s*$'
                or (query ~ '^\s*;?\s*$' and query_start is not null),
            false
        ) as pinged
    from pg_stat_activity
    where backend_type = 'client backend'
)
select
    coalesce(
        (
            select json_agg(json_build_array(
                s.name, s.reset_val, coalesce(s.unit, ''),
                exists (
                    select from overrides o, own
                    where o.setting = lower(s.name)
                      and (o.setrole = own.role or (o.setrole = 0 and o.setdatabase = own.place))
                      and o.setdatabase in (0, own.place)
                ),
                s.pending_restart
            ))
            from pg_settings s
            where s.vartype in ('integer', 'real')
              and (
                  s.pending_restart
                  or s.name in (
                      'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count',
                      'idle_session_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout',
                      'client_connection_check_interval', 'max_connections', 'superuser_reserved_connections',
                      'reserved_connections', 'shared_buffers', 'work_mem', 'hash_mem_multiplier'
                  )
              )
        ),
        '[]'::json
    ),
    coalesce(
        (
            select json_agg(json_build_array(
                r.rolname, r.rolcanlogin, r.rolsuper, r.rolconnlimit,
                (select count(*) from clients c where c.usesysid = r.oid)
            ) order by r.rolname)
            from pg_roles r
            where r.rolcanlogin
        ),
        '[]'::json
    ),
    coalesce(
        (
            select json_agg(json_build_array(
                d.datname, d.datconnlimit, (select count(*) from clients c where c.datid = d.oid)
            ) order by d.datname)
            from pg_database d
            where d.datallowconn and not d.datistemplate
        ),
        '[]'::json
    ),
    coalesce((select json_agg(json_build_array(o.rolname, o.datname, o.setting)) from overrides o), '[]'::json),
    coalesce(
        (
            select json_agg(json_build_array(u.rolname, u.datname))
            from (
                select distinct r.rolname, d.datname
                from clients c
                join pg_roles r on r.oid = c.usesysid
                join pg_database d on d.oid = c.datid
            ) u
        ),
        '[]'::json
    ),
    coalesce(
        (
            select json_agg(json_build_array(k.usename, k.application_name, k.sessions, k.pinged))
            from (
                select usename, application_name, count(*) as sessions, count(*) filter (where pinged) as pinged
                from clients
                where kept
                group by usename, application_name
            ) k
        ),
        '[]'::json
    )
