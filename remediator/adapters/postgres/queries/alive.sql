-- Which of these sessions still exist; a pid alone may belong to a new session by now.
select wanted.pid, wanted.backend_start
from unnest(%(pids)s::int[], %(starts)s::timestamptz[]) as wanted (pid, backend_start)
join pg_stat_activity a on a.pid = wanted.pid and a.backend_start = wanted.backend_start
