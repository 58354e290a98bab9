-- Terminate one session, provided that it is still the one that was chosen and nothing has happened
-- in it since: whatever it did (began a transaction, took an advisory lock, listened) would have
-- moved state_change. No row means that it changed; nothing was done then. Nor is anything done when
-- another remediator has taken the lock that lets one act, which this session must have held till now.
select pg_terminate_backend(a.pid)
from pg_stat_get_activity(%(pid)s) a
where a.backend_start = %(backend_start)s
  and a.backend_type = 'client backend'
  and a.state = 'idle'
  and a.xact_start is null
  and a.state_change = %(state_change)s
  and a.state_change <= clock_timestamp() - %(older_than)s
  and a.pid <> pg_backend_pid()
  and not exists (select from pg_roles r where r.oid = a.usesysid and r.rolsuper)
  and (
      not %(claimed)s
      or exists (
          select from pg_locks l
          where l.locktype = 'advisory'
            and l.classid = %(lock_class)s
            and l.objid = %(lock_object)s
            and l.objsubid = 2
            and l.pid = pg_backend_pid()
            and l.granted
      )
  )
