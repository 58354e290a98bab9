-- The role of remediator on PostgreSQL 16 and later. Run once, as a superuser:
--   psql --set=ON_ERROR_STOP=1 --file=role-16.sql
-- and give it a password that no log sees:
--   psql --command='\password remediator'
-- The last statement takes effect when the server is restarted.
-- All of the role is made, or nothing. To start over: DROP ROLE remediator; it owns nothing.

BEGIN;

DO $$
BEGIN
  IF current_setting('server_version_num')::int < 160000 THEN
    RAISE EXCEPTION 'this file is for PostgreSQL 16 and later; use role-15.sql';
  END IF;
END
$$;

-- It owns nothing, reads no table, creates nothing. Seven connections: one that watches, one for the probe, and the
-- same for an audit of the daemon's and for somebody who runs `remediator check` or `plan` meanwhile.
CREATE ROLE remediator LOGIN CONNECTION LIMIT 7;

-- See every session. Without this the server hides other roles' sessions, and nothing is done.
GRANT pg_read_all_stats TO remediator;

-- Terminate sessions that are not a superuser's. Leave it out for a dry run: nothing can be terminated then.
GRANT pg_signal_backend TO remediator;

-- Get in when everybody else has filled the server. Grant it to nobody else.
GRANT pg_use_reserved_connections TO remediator;

-- A second line of defence; terminating works all the same.
ALTER ROLE remediator SET default_transaction_read_only = on;
ALTER ROLE remediator SET search_path = pg_catalog;
ALTER ROLE remediator SET statement_timeout = '5s';
ALTER ROLE remediator SET lock_timeout = '1s';
ALTER ROLE remediator SET idle_in_transaction_session_timeout = '10s';

COMMIT;

-- Two slots of max_connections are kept for it. PostgreSQL does not allow this in a transaction;
-- ALTER SYSTEM RESET reserved_connections takes it back.
ALTER SYSTEM SET reserved_connections = 2;
