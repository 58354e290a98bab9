-- Who has the lock that lets one remediator act, the longest first; not ourselves. Anybody who may connect to this
-- database can take it. A prepared transaction can have it, too, and then there is no session.
select
    coalesce(l.pid, 0),
    coalesce(a.usename, ''),
    coalesce(a.application_name, ''),
    host(a.client_addr),
    a.backend_start,
    coalesce(a.usename = current_user and a.application_name = current_setting('application_name'), false)
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory'
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid = %(lock_class)s
  and l.objid = %(lock_object)s
  and l.objsubid = 2
  and l.granted
  and l.pid is distinct from pg_backend_pid()
order by a.backend_start
limit 1
