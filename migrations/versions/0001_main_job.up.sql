-- Ids are UUID version 7 (RFC 9562, 5.7), also for rows inserted by hand; PostgreSQL has its own only from 18 on.
CREATE FUNCTION waymark_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- People ------------------------------------------------------------------------------------------------------------

CREATE TABLE players (
    id          uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    username    text NOT NULL CONSTRAINT players_username_form CHECK (username ~ '^[A-Za-z0-9_.-]{3,32}$'),
    place_code  text,  -- where the last transportation brought the player
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX players_username_key ON players (lower(username));

CREATE TABLE credentials (
    player_id      uuid PRIMARY KEY REFERENCES players ON DELETE CASCADE,
    password_hash  text NOT NULL,
    email          text,
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- A login and all tokens refreshed from it. Revoking the row ends them all at once.
CREATE TABLE refresh_families (
    id          uuid PRIMARY KEY,
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    generation  integer NOT NULL DEFAULT 0,  -- the one refresh token that may still be used
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    revoked_for text CHECK (revoked_for IN ('logout', 'reuse')),
    CHECK ((revoked_at IS NULL) = (revoked_for IS NULL))
);
CREATE INDEX refresh_families_player ON refresh_families (player_id);
CREATE INDEX refresh_families_expiry ON refresh_families (expires_at);

CREATE TABLE organizations (
    id          uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    slug        text NOT NULL CONSTRAINT organizations_slug_key UNIQUE CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) <= 64),
    url         text CHECK (url ~* '^https?://'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'member')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT memberships_pkey PRIMARY KEY (org_id, player_id)
);
CREATE INDEX memberships_player ON memberships (player_id);

-- The first answer to a POST that creates, committed together with what it created.
CREATE TABLE idempotency_keys (
    caller      uuid NOT NULL,
    key         text NOT NULL,
    digest      bytea NOT NULL,  -- of the route and the body
    status      smallint NOT NULL,
    headers     jsonb NOT NULL,
    answer      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Codes -------------------------------------------------------------------------------------------------------------

CREATE TABLE qr_codes (
    id                 uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id             uuid NOT NULL REFERENCES organizations,
    code               text NOT NULL CONSTRAINT qr_codes_code_form CHECK (code ~ '^[A-Za-z0-9_-]{3,64}$'),
    description        text NOT NULL DEFAULT '',
    scan_type          text CHECK (scan_type IN ('item_drop', 'encounter', 'transportation')),
    requires_location  boolean NOT NULL DEFAULT false,
    latitude           double precision CONSTRAINT qr_codes_latitude CHECK (latitude BETWEEN -90 AND 90),
    longitude          double precision CONSTRAINT qr_codes_longitude CHECK (longitude BETWEEN -180 AND 180),
    radius_m           double precision NOT NULL DEFAULT 50 CONSTRAINT qr_codes_radius CHECK (radius_m BETWEEN 5 AND 50000),
    reward_item        text CHECK (length(reward_item) BETWEEN 1 AND 100),
    reward_quantity    integer CHECK (reward_quantity BETWEEN 1 AND 1000000),
    destination_code   text,
    target_url         text CHECK (target_url ~* '^https?://'),
    active             boolean NOT NULL DEFAULT true,
    starts_at          timestamptz,
    expires_at         timestamptz,
    max_scans          bigint CHECK (max_scans >= 1),
    per_player_limit   integer DEFAULT 1 CHECK (per_player_limit >= 1),
    cooldown_seconds   integer CHECK (cooldown_seconds >= 1),
    rotating           boolean NOT NULL DEFAULT false,
    tags               text[] NOT NULL DEFAULT '{}',
    taken              bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),  -- scans that count against max_scans
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,  -- a tombstone: scans keep their organization, the code becomes free again
    CONSTRAINT qr_codes_place_whole CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT qr_codes_place_known CHECK (NOT requires_location OR latitude IS NOT NULL),
    CONSTRAINT qr_codes_reward_whole CHECK ((reward_item IS NULL) = (reward_quantity IS NULL)),
    CONSTRAINT qr_codes_leads_somewhere CHECK (scan_type IS NOT NULL OR target_url IS NOT NULL)
) WITH (fillfactor = 85);  -- `taken` moves with every batch: room for HOT updates
CREATE UNIQUE INDEX qr_codes_code_key ON qr_codes (code) WHERE deleted_at IS NULL;
CREATE INDEX qr_codes_org ON qr_codes (org_id, id) WHERE deleted_at IS NULL;
CREATE INDEX qr_codes_tags ON qr_codes USING gin (tags) WHERE deleted_at IS NULL;

CREATE TABLE encounters (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    qr_code_id        uuid NOT NULL UNIQUE REFERENCES qr_codes ON DELETE CASCADE,
    puzzle_type       text NOT NULL CHECK (puzzle_type IN ('decryption', 'pattern', 'hacking')),
    difficulty_level  integer NOT NULL CONSTRAINT encounters_difficulty CHECK (difficulty_level BETWEEN 1 AND 10),
    data              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(data) = 'object'),
    solution          text,
    max_attempts      integer CHECK (max_attempts >= 1)
);

-- Where the server has PostGIS, a geography column serves maps and near-by queries; latitude and longitude stay the truth.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis') THEN
        BEGIN
            CREATE EXTENSION IF NOT EXISTS postgis;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'PostGIS is there but may not be created by this role: no location column';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'postgis') THEN
        ALTER TABLE qr_codes ADD COLUMN location geography(Point, 4326) GENERATED ALWAYS AS (
            ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)::geography
        ) STORED;
        CREATE INDEX qr_codes_location ON qr_codes USING gist (location);
    END IF;
END $$;

-- Scans: the row is the request and its verdict -----------------------------------------------------------------------

CREATE TABLE player_scans (
    id              uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    player_id       uuid NOT NULL REFERENCES players,
    qr_code_id      uuid REFERENCES qr_codes,  -- null: no such code when it was scanned
    qr_code         text NOT NULL CHECK (length(qr_code) BETWEEN 1 AND 2048),
    latitude        double precision CONSTRAINT player_scans_latitude CHECK (latitude BETWEEN -90 AND 90),
    longitude       double precision CONSTRAINT player_scans_longitude CHECK (longitude BETWEEN -180 AND 180),
    accuracy        double precision CHECK (accuracy >= 0 AND accuracy < 'infinity'),  -- metres, as the phone reports it
    scan_time       timestamptz NOT NULL DEFAULT now(),  -- when it happened, by the clock that is believed
    client_time     timestamptz,  -- when it happened, by the client's own clock
    received_at     timestamptz NOT NULL DEFAULT now(),
    nonce           text CHECK (length(nonce) BETWEEN 1 AND 64),
    digest          bytea,  -- of the request, to tell a retry from another scan under the same nonce
    request_id      text,
    status          text NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'success', 'failure', 'held', 'annulled')),
    success         boolean GENERATED ALWAYS AS (
                        CASE status WHEN 'success' THEN true WHEN 'failure' THEN false WHEN 'annulled' THEN false END
                    ) STORED,
    reason          text CHECK (reason IN (
                        'too_late', 'unknown_code', 'forged_code', 'stale_code', 'inactive', 'not_started', 'expired',
                        'location_required', 'better_location_needed', 'not_present', 'player_limit', 'cooldown',
                        'sold_out', 'impossible_travel', 'not_judged')),
    distance_m      double precision,
    outcome         jsonb NOT NULL DEFAULT '{}',  -- what a success gave: reward, encounter or destination
    settled_at      timestamptz,
    lease_token     uuid,
    lease_until     timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    CONSTRAINT player_scans_place_whole CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT player_scans_one_verdict CHECK ((status = 'pending') = (settled_at IS NULL)),
    CONSTRAINT player_scans_failure_named CHECK (status NOT IN ('failure', 'held') OR reason IS NOT NULL),
    CONSTRAINT player_scans_pending_unjudged CHECK (status <> 'pending' OR reason IS NULL)
) WITH (fillfactor = 70);  -- a claim touches no indexed column: room for it to be a HOT update
CREATE UNIQUE INDEX player_scans_nonce_key ON player_scans (player_id, nonce) WHERE nonce IS NOT NULL;
CREATE INDEX player_scans_pending ON player_scans (id) WHERE status = 'pending';
CREATE INDEX player_scans_history ON player_scans (player_id, scan_time, id);
CREATE INDEX player_scans_by_code ON player_scans (qr_code_id, scan_time, id);
-- What limits, cooldowns and travel are judged by: the scans that counted.
CREATE INDEX player_scans_counted ON player_scans (player_id, qr_code_id, scan_time) WHERE status IN ('success', 'held');
CREATE INDEX player_scans_trail ON player_scans (player_id, scan_time)
    WHERE status IN ('success', 'held') AND latitude IS NOT NULL;

-- A verdict is given once; after it only staff move it, from held to success or from either to annulled.
CREATE FUNCTION guard_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ((OLD.status = 'held' AND NEW.status IN ('success', 'annulled'))
            OR (OLD.status = 'success' AND NEW.status = 'annulled')) THEN
        RAISE EXCEPTION 'scan % has its verdict already: % cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'player_scans_one_verdict';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER player_scans_guard_verdict BEFORE UPDATE OF status ON player_scans
    FOR EACH ROW WHEN (OLD.status <> 'pending' AND OLD.status <> NEW.status) EXECUTE FUNCTION guard_verdict();

-- A row inserted by hand names its code by id only.
CREATE FUNCTION name_scanned_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.qr_code := (SELECT code FROM qr_codes WHERE id = NEW.qr_code_id);
    RETURN NEW;
END $$;
CREATE TRIGGER player_scans_name_code BEFORE INSERT ON player_scans
    FOR EACH ROW WHEN (NEW.qr_code IS NULL) EXECUTE FUNCTION name_scanned_code();

-- The event log -------------------------------------------------------------------------------------------------------

CREATE TABLE events (
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id         bigint GENERATED ALWAYS AS IDENTITY,
    type       text NOT NULL,
    player_id  uuid,
    org_id     uuid,
    data       jsonb NOT NULL DEFAULT '{}',
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, id)
);
CREATE INDEX events_player ON events (player_id, xid, id) WHERE player_id IS NOT NULL;
CREATE INDEX events_org ON events (org_id, xid, id) WHERE org_id IS NOT NULL;

CREATE TABLE event_readers (
    name  text PRIMARY KEY,
    xid   xid8 NOT NULL,
    id    bigint NOT NULL
);

-- Every scan is announced, whoever inserted it: once per statement, so that batches pay once. What is notified stays far
-- below NOTIFY's 7,999 bytes, at which the insert itself would fail.
CREATE FUNCTION announce_scans() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER player_scans_announce AFTER INSERT ON player_scans
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION announce_scans();

-- The inventory is a ledger: balances are sums, each entry stands for one thing owed ------------------------------------

CREATE TABLE inventory_ledger (
    id         uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    player_id  uuid NOT NULL REFERENCES players,
    item       text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    quantity   integer NOT NULL CHECK (quantity <> 0),
    source     text NOT NULL CHECK (source IN ('scan', 'annulment', 'encounter', 'quest')),
    source_id  uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inventory_ledger_owed_once UNIQUE (source, source_id)
);
CREATE INDEX inventory_ledger_balance ON inventory_ledger (player_id, item) INCLUDE (quantity);
