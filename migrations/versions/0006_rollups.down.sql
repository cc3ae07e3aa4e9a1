CREATE OR REPLACE FUNCTION announce_scans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, player_id, org_id, data)
        SELECT 'qr_scan', s.player_id, q.org_id, jsonb_build_object('scan_id', s.id, 'qr_code', s.qr_code)
        FROM inserted s LEFT JOIN qr_codes q ON q.id = s.qr_code_id
        ORDER BY s.id;
    PERFORM pg_notify('qr_scan', json_build_object(
            'player_id', s.player_id, 'qr_code', left(s.qr_code, 200), 'scan_id', s.id)::text)
        FROM inserted s;
    RETURN NULL;
END $$;

DROP TABLE visit_days, visit_quarters, scan_players_ever, scan_players, scan_reasons, scan_days, scan_quarters,
    visits_forgotten, visits;
ALTER TABLE player_scans DROP COLUMN device;
DELETE FROM event_readers WHERE name IN ('rollups', 'visits');
