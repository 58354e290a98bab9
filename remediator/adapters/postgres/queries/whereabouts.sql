-- Which server a new connection has reached, and whether it is a standby.
select pg_postmaster_start_time() at time zone 'UTC', pg_is_in_recovery()
