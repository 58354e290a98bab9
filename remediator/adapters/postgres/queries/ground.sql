-- Stand on firm ground before any name is looked up. Whoever may create functions in a schema on the search
-- path could have them run with our rights, or blind us; and what is set for a role or a database would decide
-- how times are written. Plain SET, because it calls no function that could be another one.
set statement_timeout to 0;
set search_path to pg_catalog;
set datestyle to iso;
set intervalstyle to postgres
