-- One reading of a server's connection slots: settings, counts and grouped sessions in one row.
-- Background processes show their type only to roles that may see statistics of other roles; one
-- that is just leaving shows none to anybody. So a type that is null proves that this role would count
-- too few sessions only where it lacks that right.
-- Sessions from before the time since when whoever has their address now can be theirs are grouped apart.
-- Ages are without the time by which the server's clock was set ahead while a session was idle.
with known as (
    select address, since from unnest(%(addresses)s::text[], %(starts)s::timestamptz[]) as k (address, since)
),
activity as materialized (
    select
        backend_type,
        coalesce(usename, '') as usename,
        application_name,
        client_addr,
        coalesce(state, '') as state,
        backend_start,
        -- An empty text only says that the last statement was empty, as many pools' tests are.
        state = 'idle' and query_start is null and xact_start is null as unused,
        case
            when state like 'idle%%' and state_change is not null then
                width_bucket(
                    extract(epoch from clock_timestamp() - state_change)::float8
                        - case when state_change <= to_timestamp(%(until)s) then %(ahead)s else 0 end,
                    %(cutoffs)s::float8[]
                )
            else 0
        end as cutoffs_reached
    from pg_stat_activity
),
grouped as (
    select
        usename, application_name, host(client_addr) as address, state, cutoffs_reached,
        coalesce(unused, false) as unused, min(backend_start) as oldest, count(*) as sessions
    from activity
    left join known on known.address = host(client_addr)
    where backend_type = 'client backend'
    group by
        usename, application_name, client_addr, state, cutoffs_reached, coalesce(unused, false),
        backend_start < known.since
),
-- Rows of pg_stat_database as JSON, because before PostgreSQL 14 it does not have these columns.
counted as (
    select to_jsonb(d) as row from pg_stat_database d where d.datname is not null
)
select
    current_setting('max_connections')::int,
    current_setting('superuser_reserved_connections')::int,
    coalesce(current_setting('reserved_connections', true), '0')::int,
    (select count(*) from activity where backend_type = 'client backend')::int,
    (select count(*) from activity where backend_type is null and not pg_has_role('pg_read_all_stats', 'usage'))::int,
    current_setting('server_version_num')::int,
    pg_postmaster_start_time(),
    pg_is_in_recovery(),
    host(inet_server_addr()),
    inet_server_port(),
    host(inet_client_addr()),
    inet_client_port(),
    pg_has_role(current_user, 'pg_signal_backend', 'usage'),
    extract(epoch from clock_timestamp())::float8,
    (
        select count(*) from activity
        where backend_type = 'client backend' and backend_start > clock_timestamp() - interval '1 minute'
    )::int,
    (
        select json_build_array(
            sum((row ->> 'sessions')::int8), sum((row ->> 'sessions_abandoned')::int8),
            sum((row ->> 'sessions_fatal')::int8), sum((row ->> 'sessions_killed')::int8)
        )
        from counted
    ),
    coalesce(
        (select json_agg(json_build_array(
            usename, application_name, address, state, cutoffs_reached, sessions, unused, oldest
         ))
         from grouped),
        '[]'::json
    )
