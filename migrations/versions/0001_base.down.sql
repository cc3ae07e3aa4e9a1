DROP FUNCTION settle_scans, append_verdict_events, add_uses, is_in_stock, move_players, open_puzzles,
    grant_rewards;
DROP FUNCTION lock_and_read_scans, judging_context, judged_activity, judged_fixes, judged_usages, lock_limited_codes,
    lock_fair_play_organizations, postpone_scans, lock_players, lock_leased_scans;
DROP VIEW backlog, code_designs, judged_codes, location_fixes, event_log_end;
DROP FUNCTION scan_has_personal_data, matching_codes;  -- they depend on tables
DROP VIEW opened_puzzles;
DROP TABLE
    schema_floor, operations_log, idempotency_keys,
    statistics_cache_versions, visit_rollup_daily, visit_rollup_15m,
    scan_all_time_players, scan_daily_players, scan_rollup_daily_reasons, scan_rollup_daily, scan_rollup_15m,
    visit_purges, visits,
    quest_replay_checkpoints, quest_claims, quest_states, quest_events, quests, rewards,
    render_chunks, render_jobs, label_templates, file_storages,
    import_candidates, import_rows, imports,
    generated_tombstones, generated_images, generated_codes,
    items, redemptions, redemption_tokens, inventory_ledger,
    log_servers, log_positions, events,
    encounter_attempts, player_scans,
    organization_usage,
    code_screens, encounters, organization_designs, qr_customizations, code_texts, qr_codes,
    audit_log, api_keys, invitations, memberships, organization_slugs, organizations,
    pending_erasures, external_identities, sessions, credentials, players;
DROP FUNCTION
    guard_balance, append_scan_events, notify_scan, guard_verdict, set_success, fill_qr_code, claim_code_text, claim_slug,
    guard_audit_log, waymark_uuid7;
DROP FUNCTION count_added_codes, count_removed_codes, count_deleted_code, count_logo_bytes, count_organization_logo_bytes, count_design_logo_bytes, restart_use,
    renew_rotation_secret, is_in_box, count_rows;
-- PostGIS and pg_trgm stay: they can be older than this schema, and other schemas can use them.
