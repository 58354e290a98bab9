-- One reading of a server's connection slots: settings, counts and grouped sessions in one row.
-- Background processes show their type only to roles that may see statistics of other roles; one
-- that is just leaving shows none to anybody. So a type that is null proves that this role would count
-- too few sessions only where it lacks that right.
-- Ages are without the time by which the server's clock was set ahead while a session was idle.
with activity as materialized (
    select
        backend_type,
        coalesce(usename, '') as usename,
        application_name,
        client_addr,
        coalesce(state, '') as state,
        case
            when state = 'idle' and state_change is not null then
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
    select usename, application_name, host(client_addr) as address, state, cutoffs_reached, count(*) as sessions
    from activity
    where backend_type = 'client backend'
    group by usename, application_name, client_addr, state, cutoffs_reached
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
    pg_has_role(current_user, 'pg_signal_backend', 'usage'),
    extract(epoch from clock_timestamp())::float8,
    coalesce(
        (select json_agg(json_build_array(usename, application_name, address, state, cutoffs_reached, sessions))
         from grouped),
        '[]'::json
    )
