DROP TABLE visit_days, visit_quarters, scan_players_ever, scan_players, scan_reasons, scan_days, scan_quarters,
    visits_forgotten, visits;
ALTER TABLE player_scans DROP COLUMN device;
DELETE FROM event_readers WHERE name IN ('rollups', 'visits');
