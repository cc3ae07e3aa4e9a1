-- Puzzles: each scan that handed one out opens it once -------------------------------------------------------------------

CREATE TABLE encounter_attempts (
    scan_id       uuid PRIMARY KEY REFERENCES player_scans,
    wrong         integer NOT NULL DEFAULT 0 CHECK (wrong >= 0),
    solved_at     timestamptz
);

-- Fair play: rules that an organization switches on --------------------------------------------------------------------

ALTER TABLE organizations ADD COLUMN fair_play jsonb CHECK (jsonb_typeof(fair_play) = 'object');  -- null: all off
-- Judging looks here for every batch; almost always there is nobody.
CREATE INDEX organizations_fair_play ON organizations (id) WHERE fair_play IS NOT NULL;

ALTER TABLE player_scans
    DROP CONSTRAINT player_scans_reason_check,
    ADD CONSTRAINT player_scans_reason_check CHECK (reason IN (
        'too_late', 'unknown_code', 'forged_code', 'stale_code', 'inactive', 'not_started', 'expired',
        'location_required', 'better_location_needed', 'not_present', 'player_limit', 'cooldown',
        'sold_out', 'impossible_travel', 'identical_coordinates', 'burst', 'not_judged')),
    ADD COLUMN watched boolean,  -- its coordinates are compared with other players'
    ADD COLUMN facts jsonb,  -- by rule, what a failure or a held scan was judged by
    ADD COLUMN reviewed_by uuid,
    ADD COLUMN reviewed_at timestamptz,
    ADD CONSTRAINT player_scans_review_whole CHECK ((reviewed_by IS NULL) = (reviewed_at IS NULL));
CREATE INDEX player_scans_watched ON player_scans (latitude, longitude, scan_time) WHERE watched;
CREATE INDEX player_scans_reviews ON player_scans (status, id) WHERE status IN ('held', 'annulled');
