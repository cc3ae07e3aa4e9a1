DROP TABLE encounter_attempts;
DROP INDEX player_scans_reviews, player_scans_watched;
-- Reasons that older versions do not know become the one they do.
UPDATE player_scans SET reason = 'impossible_travel' WHERE reason IN ('identical_coordinates', 'burst');
ALTER TABLE player_scans
    DROP CONSTRAINT player_scans_review_whole,
    DROP COLUMN reviewed_at, DROP COLUMN reviewed_by, DROP COLUMN facts, DROP COLUMN watched,
    DROP CONSTRAINT player_scans_reason_check,
    ADD CONSTRAINT player_scans_reason_check CHECK (reason IN (
        'too_late', 'unknown_code', 'forged_code', 'stale_code', 'inactive', 'not_started', 'expired',
        'location_required', 'better_location_needed', 'not_present', 'player_limit', 'cooldown',
        'sold_out', 'impossible_travel', 'not_judged'));
DROP INDEX organizations_fair_play;
ALTER TABLE organizations DROP COLUMN fair_play;
