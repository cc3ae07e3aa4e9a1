-- What travel is judged by: the scans of a player that counted, by who handed them in (zero: the player). However many a
-- key hands in, the player's own are found at once.
DROP INDEX player_scans_trail;
CREATE INDEX player_scans_trail ON player_scans
    (player_id, coalesce(api_key_id, '00000000-0000-0000-0000-000000000000'), scan_time)
    WHERE status IN ('success', 'held') AND latitude IS NOT NULL;

-- Each thing that the trail may be asked for, newest first: a page reads its own lines only, however many there are.
CREATE INDEX audit_log_action ON audit_log (org_id, action, id) WHERE org_id IS NOT NULL;
CREATE INDEX audit_log_actor ON audit_log (org_id, coalesce(player_id, api_key_id), id) WHERE org_id IS NOT NULL;
