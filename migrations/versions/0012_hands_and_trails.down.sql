DROP INDEX audit_log_actor;
DROP INDEX audit_log_action;
DROP INDEX player_scans_trail;
CREATE INDEX player_scans_trail ON player_scans (player_id, scan_time)
    WHERE status IN ('success', 'held') AND latitude IS NOT NULL;
