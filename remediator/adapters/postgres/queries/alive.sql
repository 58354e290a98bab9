-- Which of these sessions still exist; a pid alone may belong to a new session by now.
-- One whose start is hidden from us counts as there: it has not been seen to be gone.
select wanted.pid, wanted.backend_start
from unnest(%(pids)s::int[], %(starts)s::timestamptz[]) as wanted (pid, backend_start)
join pg_stat_activity a
    on a.pid = wanted.pid and coalesce(a.backend_start = wanted.backend_start, true)
