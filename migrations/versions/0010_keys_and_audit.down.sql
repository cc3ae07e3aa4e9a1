DROP TABLE audit_log;
DROP FUNCTION guard_audit_log;
ALTER TABLE player_scans DROP COLUMN api_key_id;
DROP TABLE api_keys;
