-- Which server this is: its cluster, and how far it has come. A standby writes no timeline of its own.
-- Apart from the sample, because an administrator may have revoked these functions.
select
    (select system_identifier from pg_control_system()),
    case when not pg_is_in_recovery() then
        ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int
    end,
    case when not pg_is_in_recovery() then (pg_current_wal_flush_lsn() - '0/0')::int8 end
