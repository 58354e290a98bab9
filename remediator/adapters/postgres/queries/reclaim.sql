-- End the session in which we had the lock that lets one remediator act, and which we lost without the
-- server noticing: provided that it is the very same one still, of our role and name, and has the lock.
select pg_terminate_backend(a.pid)
from pg_stat_get_activity(%(pid)s) a
where a.backend_start = %(backend_start)s
  and a.usesysid = (select oid from pg_roles where rolname = session_user)
  and a.application_name = current_setting('application_name')
  and a.pid <> pg_backend_pid()
  and exists (
      select from pg_locks l
      where l.locktype = 'advisory'
        and l.database = (select oid from pg_database where datname = current_database())
        and l.classid = %(lock_class)s
        and l.objid = %(lock_object)s
        and l.objsubid = 2
        and l.pid = a.pid
        and l.granted
  )
