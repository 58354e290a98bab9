-- Take the lock that lets one remediator act, if nobody has it. It belongs to the session: the server
-- gives it to the next one as soon as the session is gone, however it went. Which session this is, too,
-- for when it is lost on its way to us and the server does not notice.
select pg_try_advisory_lock(%(lock_class)s, %(lock_object)s), a.pid, a.backend_start
from pg_stat_get_activity(pg_backend_pid()) a
