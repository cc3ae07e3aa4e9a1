-- What kind of device a scan came from, as its User-Agent says; the User-Agent itself is not kept. Null: inserted by hand.
ALTER TABLE player_scans ADD COLUMN device text
    CONSTRAINT player_scans_device CHECK (device IN ('phone', 'tablet', 'desktop', 'other'));

-- Who opened /s/{code}: not who, only when and with what. Read in commit order like the event log, by (xid, id).
CREATE TABLE visits (
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          bigint GENERATED ALWAYS AS IDENTITY,
    qr_code_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    device      text NOT NULL CHECK (device IN ('phone', 'tablet', 'desktop', 'other', 'bot')),
    PRIMARY KEY (xid, id)
);
CREATE INDEX visits_by_code ON visits (qr_code_id, at);

-- Days of which the visits themselves are gone: their counts can no longer be made anew.
CREATE TABLE visits_forgotten (
    before  date PRIMARY KEY
);

-- Rollups ---------------------------------------------------------------------------------------------------------------
-- A subject is a code or an organization: each scan counts for both. Quarters of an hour, because every time zone's days
-- begin at one. The reasons and kinds of device are told per day; players once a day, and once ever.

CREATE TABLE scan_quarters (
    subject_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    count       integer NOT NULL,
    success     integer NOT NULL,
    PRIMARY KEY (subject_id, at)
) WITH (fillfactor = 80);  -- the newest ones move with every batch: room for HOT updates

CREATE TABLE scan_days (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    count       integer NOT NULL,
    success     integer NOT NULL,
    held        integer NOT NULL,
    annulled    integer NOT NULL,
    players     integer NOT NULL,
    phone       integer NOT NULL,
    tablet      integer NOT NULL,
    desktop     integer NOT NULL,
    other       integer NOT NULL,
    first_at    timestamptz,  -- null: only scans that were too late, whose times are their clients' word
    last_at     timestamptz,
    PRIMARY KEY (subject_id, day)
) WITH (fillfactor = 80);

CREATE TABLE scan_reasons (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    reason      text NOT NULL,
    count       integer NOT NULL,
    PRIMARY KEY (subject_id, day, reason)
) WITH (fillfactor = 80);

CREATE TABLE scan_players (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    player_id   uuid NOT NULL,
    PRIMARY KEY (subject_id, day, player_id)
);

CREATE TABLE scan_players_ever (
    subject_id  uuid NOT NULL,
    player_id   uuid NOT NULL,
    PRIMARY KEY (subject_id, player_id)
);

CREATE TABLE visit_quarters (
    subject_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    count       integer NOT NULL,
    PRIMARY KEY (subject_id, at)
) WITH (fillfactor = 80);

CREATE TABLE visit_days (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    count       integer NOT NULL,
    bots        integer NOT NULL,
    phone       integer NOT NULL,
    tablet      integer NOT NULL,
    desktop     integer NOT NULL,
    other       integer NOT NULL,
    PRIMARY KEY (subject_id, day)
) WITH (fillfactor = 80);

-- A scan that arrives settled, as history does that is brought over by hand, has its verdict told with it: what is told is
-- counted, and can be corrected.
CREATE OR REPLACE FUNCTION announce_scans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, player_id, org_id, data)
        SELECT told.type, s.player_id, q.org_id, told.data
        FROM inserted s LEFT JOIN qr_codes q ON q.id = s.qr_code_id
        CROSS JOIN LATERAL (
            SELECT 1, 'qr_scan', jsonb_build_object('scan_id', s.id, 'qr_code', s.qr_code)
            UNION ALL
            SELECT 2, 'scan_result', jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', s.qr_code, 'status', s.status, 'reason', s.reason))
            WHERE s.status <> 'pending'
        ) told (turn, type, data)
        ORDER BY s.id, told.turn;
    PERFORM pg_notify('qr_scan', json_build_object(
            'player_id', s.player_id, 'qr_code', left(s.qr_code, 200), 'scan_id', s.id)::text)
        FROM inserted s;
    RETURN NULL;
END $$;
