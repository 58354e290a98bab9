-- What this role may do, and whether a slot is kept for it when the server is full.
select
    current_user,
    r.rolsuper,
    pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
    pg_has_role(current_user, 'pg_signal_backend', 'usage'),
    coalesce(
        (select pg_has_role(current_user, oid, 'usage') from pg_roles where rolname = 'pg_use_reserved_connections'),
        false
    ),
    coalesce(current_setting('reserved_connections', true), '0')::int,
    r.rolconnlimit,
    current_setting('server_version')
from pg_roles r
where r.rolname = current_user
