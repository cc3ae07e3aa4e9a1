DROP TABLE inventory_ledger, event_readers, events, player_scans, encounters, qr_codes, idempotency_keys, memberships,
    organizations, refresh_families, credentials, players;
DROP FUNCTION announce_scans();
DROP FUNCTION name_scanned_code();
DROP FUNCTION guard_verdict();
DROP FUNCTION waymark_uuid7();
-- PostGIS stays: it may have been there before, and other schemas may use it.
