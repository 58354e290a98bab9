-- Run once by the database's image, as superuser, when the data folder is empty.
\set app_password `cat /run/secrets/app_password`
\set remediator_password `cat /run/secrets/remediator_password`

CREATE ROLE app LOGIN PASSWORD :'app_password';
CREATE TABLE ticket (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sold_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT, INSERT ON ticket TO app;

-- The role of remediator: sees every session, may signal those that are not a superuser's, owns nothing.
CREATE ROLE remediator LOGIN PASSWORD :'remediator_password' CONNECTION LIMIT 7;
GRANT pg_read_all_stats, pg_signal_backend TO remediator;
ALTER ROLE remediator SET application_name = 'remediator';
ALTER ROLE remediator SET search_path = pg_catalog;
ALTER ROLE remediator SET default_transaction_read_only = on;
ALTER ROLE remediator SET statement_timeout = '5s';
ALTER ROLE remediator SET lock_timeout = '1s';
ALTER ROLE remediator SET idle_in_transaction_session_timeout = '10s';

-- From PostgreSQL 16 on, slots can be kept for it, so that it gets in when everybody else has filled the server.
SELECT current_setting('server_version_num')::int >= 160000 AS can_reserve \gset
\if :can_reserve
  GRANT pg_use_reserved_connections TO remediator;
  ALTER SYSTEM SET reserved_connections = 2;
\endif
