-- A row if this session has the lock that lets one remediator act. objsubid 2 is a lock with two keys.
select true
from pg_locks
where locktype = 'advisory'
  and classid = %(lock_class)s
  and objid = %(lock_object)s
  and objsubid = 2
  and pid = pg_backend_pid()
  and granted
