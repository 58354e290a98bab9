-- Take the lock that lets one remediator act, if nobody has it. It belongs to the session: the server
-- gives it to the next one as soon as the session is gone, however it went.
select pg_try_advisory_lock(%(lock_class)s, %(lock_object)s)
