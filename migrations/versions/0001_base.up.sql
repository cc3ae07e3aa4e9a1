-- Contents: ids; people; organizations, keys, audit; codes, customizations, encounters; scans; event log; ledger;
-- redemptions; judging; settling; generated codes; imports; renders; quests; visits; rollups; idempotency; operations. A function is
-- defined above its trigger.

-- Ids -----------------------------------------------------------------------------------------------------------------

-- Return a UUID version 7 (RFC 9562, 5.7). PostgreSQL has its own `uuidv7()` only from version 18 on.
CREATE FUNCTION waymark_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- People --------------------------------------------------------------------------------------------------------------

-- A guest is a player without credentials.
CREATE TABLE players (
    id             uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    username       text NOT NULL CONSTRAINT players_username_form CHECK (username ~ '^[A-Za-z0-9_.-]{3,32}$'),
    location_code  text,  -- destination of the last transportation
    timezone       text NOT NULL DEFAULT 'UTC'
                   CONSTRAINT players_timezone_form CHECK (timezone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
    created_at     timestamptz NOT NULL DEFAULT now(),
    erased_at      timestamptz  -- the row stays as a tombstone: scans and the ledger refer to it
);
CREATE UNIQUE INDEX players_username_key ON players (lower(username));

CREATE TABLE credentials (
    player_id      uuid PRIMARY KEY REFERENCES players ON DELETE CASCADE,
    password_hash  text NOT NULL,
    email          text,
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- One login and all tokens refreshed from it. Revoking the row ends all of them.
CREATE TABLE sessions (
    id              uuid PRIMARY KEY,
    player_id       uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    generation      integer NOT NULL DEFAULT 0,  -- of the only refresh token that is still valid
    -- Derived from the User-Agent of the log-in, which is not stored. Null: an external token started the session.
    device          text CONSTRAINT sessions_device CHECK (device IN ('phone', 'tablet', 'desktop', 'other')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_used_at    timestamptz NOT NULL DEFAULT date_trunc('hour', now(), 'UTC'),  -- to the hour
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    revoked_reason  text CHECK (revoked_reason IN ('logout', 'reuse', 'password', 'erased', 'operator')),
    CONSTRAINT sessions_revoked_pair CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) WITH (fillfactor = 80);  -- `last_used_at` and `generation` change often: leaves room for HOT updates
CREATE INDEX sessions_player ON sessions (player_id, created_at, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Players who sign in with tokens of another service, by the claim that identifies them there.
CREATE TABLE external_identities (
    issuer      text NOT NULL,
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_player ON external_identities (player_id);

-- Erasures that must look again at scans submitted or judged while they ran.
CREATE TABLE pending_erasures (
    player_id   uuid PRIMARY KEY REFERENCES players ON DELETE CASCADE,
    started_at  timestamptz NOT NULL DEFAULT now()
);

-- Organizations, API keys, audit log ----------------------------------------------------------------------------------

CREATE TABLE organizations (
    id          uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    slug        text NOT NULL CONSTRAINT organizations_slug_key UNIQUE
                CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(slug) <= 64),
    url         text CHECK (url ~* '^https?://'),
    fair_play   jsonb CHECK (jsonb_typeof(fair_play) = 'object'),  -- null: no fair-play check is on
    -- How long positions of settled scans are stored. Null: for ever.
    position_retention_days  integer DEFAULT 90
                CONSTRAINT organizations_position_retention CHECK (position_retention_days BETWEEN 1 AND 3650),
    color       text CHECK (color ~ '^#[0-9A-Fa-f]{6}$'),  -- of its pages
    color_light text CHECK (color_light ~ '^#[0-9A-F]{6}$'),  -- the same, darkened for light pages
    color_dark  text CHECK (color_dark ~ '^#[0-9A-F]{6}$'),  -- and lightened for dark pages
    logo        bytea CONSTRAINT organizations_logo_bounded CHECK (octet_length(logo) <= 8388608),  -- PNG, re-encoded
    logo_digest text CHECK (logo_digest ~ '^[0-9a-f]{64}$'),  -- SHA-256
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,  -- from then on nothing is paid; in the future while a new owner has yet to accept
    restored_at timestamptz,  -- the last time: no scan from before it can succeed
    erased_at   timestamptz,  -- the row stays as a tombstone: scans, ledgers and code texts refer to it
    CONSTRAINT organizations_colors CHECK (num_nulls(color, color_light, color_dark) IN (0, 3)),
    CONSTRAINT organizations_logo_pair CHECK ((logo IS NULL) = (logo_digest IS NULL)),
    CONSTRAINT organizations_erased_closed CHECK (erased_at IS NULL OR closed_at IS NOT NULL)
);
ALTER TABLE organizations ALTER COLUMN logo SET STORAGE EXTERNAL;  -- a PNG does not compress again
CREATE INDEX organizations_closed ON organizations (closed_at) WHERE closed_at IS NOT NULL AND erased_at IS NULL;
-- Judging reads this index for every batch. Few organizations are in it.
CREATE INDEX organizations_fair_play ON organizations (id) WHERE fair_play IS NOT NULL;

-- Each slug that was ever used. It stays with its organization, because prints outlive a change and the organization.
CREATE TABLE organization_slugs (
    slug        text PRIMARY KEY,
    org_id      uuid NOT NULL,  -- not a foreign key: the organization may be erased
    created_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz  -- of an alias that leads nowhere
);
CREATE INDEX organization_slugs_org ON organization_slugs (org_id);

-- An organization gets a slug that is new, or that it had before. Of two transactions that want one slug, the second
-- waits for the first here.
CREATE FUNCTION claim_slug() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.slug = OLD.slug THEN
        RETURN NULL;
    END IF;
    INSERT INTO organization_slugs AS s (slug, org_id) VALUES (NEW.slug, NEW.id)
    ON CONFLICT (slug) DO UPDATE SET deleted_at = NULL WHERE s.org_id = EXCLUDED.org_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the slug % is taken', NEW.slug
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'organizations_slug_key';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER organizations_claim_slug AFTER INSERT OR UPDATE OF slug ON organizations
    FOR EACH ROW EXECUTE FUNCTION claim_slug();

CREATE TABLE memberships (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'member')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT memberships_pkey PRIMARY KEY (org_id, player_id)
);
CREATE INDEX memberships_player ON memberships (player_id, org_id);

-- Offers of a role: to any player who has the link, or to one player.
CREATE TABLE invitations (
    id            uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    role          text NOT NULL CHECK (role IN ('owner', 'admin', 'analyst', 'member')),
    player_id     uuid REFERENCES players ON DELETE CASCADE,  -- null: a link
    token_digest  bytea CONSTRAINT invitations_token_key UNIQUE CHECK (octet_length(token_digest) = 32),  -- SHA-256
    uses          integer NOT NULL CHECK (uses BETWEEN 1 AND 1000),
    uses_left     integer NOT NULL,  -- 0: used up, declined or revoked
    created_by    uuid REFERENCES players,  -- null: an operator, or an owner who erased their account
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    CONSTRAINT invitations_uses_left CHECK (uses_left BETWEEN 0 AND uses),
    CONSTRAINT invitations_link_or_player CHECK ((player_id IS NULL) = (token_digest IS NOT NULL)),
    CONSTRAINT invitations_player_once CHECK (player_id IS NULL OR uses = 1)
);
-- A player has at most one open invitation to an organization.
CREATE UNIQUE INDEX invitations_player_key ON invitations (org_id, player_id)
    WHERE player_id IS NOT NULL AND uses_left > 0;
CREATE INDEX invitations_org ON invitations (org_id, id) WHERE uses_left > 0;
CREATE INDEX invitations_player ON invitations (player_id, id) WHERE player_id IS NOT NULL;
CREATE INDEX invitations_created_by ON invitations (created_by, id) WHERE created_by IS NOT NULL;
CREATE INDEX invitations_expiry ON invitations (expires_at);

-- Credentials of an organization's machines.
CREATE TABLE api_keys (
    id            uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix        text NOT NULL UNIQUE CHECK (prefix ~ '^wm_[0-9a-f]{12}$'),  -- public start of the key; finds the row
    digest        bytea NOT NULL CHECK (octet_length(digest) = 32),  -- SHA-256 of the whole key
    scopes        text[] NOT NULL CHECK (
                      cardinality(scopes) > 0
                      AND scopes <@ ARRAY['scan', 'codes:read', 'codes:write', 'renders', 'analytics', 'redeem',
                                           'track']),
    created_by    uuid REFERENCES players,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,  -- to the minute
    revoked_at    timestamptz  -- the row stays: scans and the audit log refer to it
) WITH (fillfactor = 80);  -- `last_used_at` changes often: leaves room for HOT updates
CREATE INDEX api_keys_org ON api_keys (org_id, id) WHERE revoked_at IS NULL;

-- Who changed what, and from where. Entries outlive the rows they name, so nothing here is a foreign key.
CREATE TABLE audit_log (
    id          uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    at          timestamptz NOT NULL DEFAULT now(),
    org_id      uuid,  -- null: the change concerns an account
    actor_kind  text NOT NULL CHECK (actor_kind IN ('player', 'key', 'operator')),
    player_id   uuid,  -- the actor
    api_key_id  uuid,  -- the actor
    address     text,
    request_id  text,
    action      text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    object_id   text,
    old         jsonb,
    new         jsonb,
    CONSTRAINT audit_log_one_actor CHECK (
        (actor_kind = 'player') = (player_id IS NOT NULL) AND (actor_kind = 'key') = (api_key_id IS NOT NULL))
);
-- One index per filter of the audit log, newest first: a page reads only its own entries.
CREATE INDEX audit_log_org ON audit_log (org_id, id) WHERE org_id IS NOT NULL;
CREATE INDEX audit_log_action ON audit_log (org_id, action, id) WHERE org_id IS NOT NULL;
CREATE INDEX audit_log_actor ON audit_log (org_id, coalesce(player_id, api_key_id), id) WHERE org_id IS NOT NULL;
CREATE INDEX audit_log_object ON audit_log (object_id, org_id, id) WHERE object_id IS NOT NULL;
CREATE INDEX audit_log_player ON audit_log (player_id, id) WHERE player_id IS NOT NULL;

-- Entries are append-only. An update may only blank the columns that can hold an erased person's data.
CREATE FUNCTION guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - '{address,request_id,old,new}'::text[])
                          = (to_jsonb(OLD) - '{address,request_id,old,new}'::text[])
        AND (NEW.address IS NULL OR NEW.address IS NOT DISTINCT FROM OLD.address)
        AND (NEW.request_id IS NULL OR NEW.request_id IS NOT DISTINCT FROM OLD.request_id)
        AND (NEW.old IS NULL OR NEW.old IS NOT DISTINCT FROM OLD.old)
        AND (NEW.new IS NULL OR NEW.new IS NOT DISTINCT FROM OLD.new)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_append_only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION guard_audit_log();

-- Codes, customizations, encounters -----------------------------------------------------------------------------------

CREATE TABLE qr_codes (
    id                 uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id             uuid NOT NULL REFERENCES organizations,
    code               text NOT NULL CONSTRAINT qr_codes_code_form CHECK (code ~ '^[A-Za-z0-9_-]{3,64}$'),
    description        text NOT NULL DEFAULT '',
    scan_type          text CHECK (scan_type IN ('item_drop', 'encounter', 'transportation')),
    requires_location  boolean NOT NULL DEFAULT false,
    latitude           double precision CONSTRAINT qr_codes_latitude CHECK (latitude BETWEEN -90 AND 90),
    longitude          double precision CONSTRAINT qr_codes_longitude CHECK (longitude BETWEEN -180 AND 180),
    radius_m           double precision NOT NULL DEFAULT 50
                       CONSTRAINT qr_codes_radius CHECK (radius_m BETWEEN 5 AND 50000),
    reward_item        text CHECK (length(reward_item) BETWEEN 1 AND 100),
    reward_quantity    integer CHECK (reward_quantity BETWEEN 1 AND 1000000),
    destination_id     uuid,
    target_url         text CHECK (target_url ~* '^https?://'),
    active             boolean NOT NULL DEFAULT true,
    starts_at          timestamptz,
    expires_at         timestamptz,
    max_scans          bigint CHECK (max_scans >= 1),
    per_player_limit   integer DEFAULT 1 CHECK (per_player_limit >= 1),
    cooldown_seconds   integer CHECK (cooldown_seconds >= 0),
    -- How late a scan may arrive. Null: as the installation allows; 0: live only.
    offline_hours      double precision CONSTRAINT qr_codes_offline_hours CHECK (offline_hours BETWEEN 0 AND 2160),
    -- For how long the puzzle that a scan opens can be answered.
    answer_within_hours double precision NOT NULL DEFAULT 24
                       CONSTRAINT qr_codes_answer_within_hours
                       CHECK (answer_within_hours > 0 AND answer_within_hours <= 8760),
    rotating           boolean NOT NULL DEFAULT false,
    rotation_seconds   integer NOT NULL DEFAULT 30
                       CONSTRAINT qr_codes_rotation_seconds CHECK (rotation_seconds BETWEEN 5 AND 3600),
    rotation_secret    bytea,  -- key of the MACs on screens; only judging and screens read it
    tags               text[] NOT NULL DEFAULT '{}',
    use_count          bigint NOT NULL DEFAULT 0 CHECK (use_count >= 0),  -- scans and visits, up to max_scans
    created_at         timestamptz NOT NULL DEFAULT now(),
    -- Its creation, placement or activation, whichever was last. No scan from before this time can succeed.
    usable_since       timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    deleted_at         timestamptz,  -- a tombstone: scans still find their organization
    CONSTRAINT qr_codes_coordinates_pair CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT qr_codes_location_required CHECK (NOT requires_location OR latitude IS NOT NULL),
    -- Workers cannot read other times, and then judge no scan of the code.
    CONSTRAINT qr_codes_times CHECK (
        (starts_at IS NULL OR starts_at >= '0001-01-02 00:00Z' AND starts_at < '9999-12-31 00:00Z')
        AND (expires_at IS NULL OR expires_at >= '0001-01-02 00:00Z' AND expires_at < '9999-12-31 00:00Z')
        AND usable_since >= '0001-01-02 00:00Z' AND usable_since < '9999-12-31 00:00Z'),
    CONSTRAINT qr_codes_rotation_secret CHECK (rotating = (rotation_secret IS NOT NULL)),
    CONSTRAINT qr_codes_reward_pair CHECK ((reward_item IS NULL) = (reward_quantity IS NULL)),
    CONSTRAINT qr_codes_scan_type_or_target_url CHECK (
        scan_type IS NOT NULL OR target_url IS NOT NULL OR deleted_at IS NOT NULL),
    CONSTRAINT qr_codes_id_org_key UNIQUE (id, org_id),  -- for foreign keys
    -- A destination is another code of the organization. A deleted code is a tombstone and has none.
    CONSTRAINT qr_codes_destination_fkey FOREIGN KEY (destination_id, org_id) REFERENCES qr_codes (id, org_id)
        ON DELETE SET NULL (destination_id),
    CONSTRAINT qr_codes_other_destination CHECK (destination_id <> id)
) WITH (fillfactor = 85);  -- `use_count` changes with every batch: leaves room for HOT updates
CREATE UNIQUE INDEX qr_codes_code_key ON qr_codes (code) WHERE deleted_at IS NULL;
CREATE INDEX qr_codes_org ON qr_codes (org_id, id) WHERE deleted_at IS NULL;
CREATE INDEX qr_codes_tombstones ON qr_codes (org_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX qr_codes_rotating ON qr_codes (org_id, code) WHERE rotating AND deleted_at IS NULL;
CREATE INDEX qr_codes_destination ON qr_codes (destination_id) WHERE destination_id IS NOT NULL;
CREATE INDEX qr_codes_tags ON qr_codes USING gin (tags) WHERE deleted_at IS NULL;
-- A map reads the codes in its view.
CREATE INDEX qr_codes_places ON qr_codes (org_id, latitude, longitude)
    WHERE deleted_at IS NULL AND latitude IS NOT NULL;

CREATE FUNCTION restart_use() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.usable_since := now();
    RETURN NEW;
END $$;
CREATE TRIGGER qr_codes_restart_use BEFORE UPDATE OF active, latitude ON qr_codes
    FOR EACH ROW WHEN (NEW.active > OLD.active OR (NEW.latitude IS NOT NULL AND OLD.latitude IS NULL))
    EXECUTE FUNCTION restart_use();

-- A code that starts to rotate gets a new random secret, also one that is inserted by hand. One that stops loses it.
CREATE FUNCTION renew_rotation_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Two UUIDs of version 4 have 244 random bits from the generator of PostgreSQL for cryptography.
    NEW.rotation_secret := CASE WHEN NEW.rotating
        THEN sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) END;
    RETURN NEW;
END $$;
CREATE TRIGGER qr_codes_insert_rotation BEFORE INSERT ON qr_codes
    FOR EACH ROW WHEN (NEW.rotating) EXECUTE FUNCTION renew_rotation_secret();
CREATE TRIGGER qr_codes_update_rotation BEFORE UPDATE OF rotating ON qr_codes
    FOR EACH ROW WHEN (NEW.rotating <> OLD.rotating) EXECUTE FUNCTION renew_rotation_secret();

-- Each code text that was ever used, and the code that it leads to: the code that has it now, or had it before a rename.
-- A text stays with its organization. The row outlives the code and the organization, because prints do.
CREATE TABLE code_texts (
    code        text PRIMARY KEY,
    org_id      uuid NOT NULL,  -- not a foreign key: the organization may be erased
    qr_code_id  uuid REFERENCES qr_codes ON DELETE SET NULL,  -- null: the alias was deleted, or the code erased
    is_alias    boolean NOT NULL DEFAULT false,  -- its code was renamed since
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX code_texts_qr_code ON code_texts (qr_code_id) WHERE qr_code_id IS NOT NULL;
CREATE INDEX code_texts_org ON code_texts (org_id);
-- A search for a part of a code's text reads the aliases of the organization. There are few.
CREATE INDEX code_texts_aliases ON code_texts (org_id, code, qr_code_id) WHERE is_alias;

-- A code gets a text that is new, or that leads to no other code of its organization. Of two transactions that want one
-- text, the second waits for the first here.
CREATE FUNCTION claim_code_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.code = OLD.code THEN
        RETURN NULL;
    END IF;
    INSERT INTO code_texts AS t (code, org_id, qr_code_id) VALUES (NEW.code, NEW.org_id, NEW.id)
    ON CONFLICT (code) DO UPDATE SET qr_code_id = EXCLUDED.qr_code_id, is_alias = false
        WHERE t.org_id = EXCLUDED.org_id AND NOT EXISTS (
            SELECT FROM qr_codes q WHERE q.id = t.qr_code_id AND q.id <> EXCLUDED.qr_code_id AND q.deleted_at IS NULL);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the code text % is taken', NEW.code
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'qr_codes_code_key';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE code_texts SET is_alias = true WHERE code = OLD.code AND qr_code_id = NEW.id;
        UPDATE organization_usage SET texts = texts + 1 WHERE org_id = NEW.org_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER qr_codes_claim_text AFTER INSERT OR UPDATE OF code ON qr_codes
    FOR EACH ROW EXECUTE FUNCTION claim_code_text();

-- The codes of an organization that a filter matches. A null matches every code. `pattern` is of ILIKE, for the text, the
-- aliases and the description. The planner inlines the function: `ANY` of one organization keeps it in the order. With
-- `org_id = …`, the order is that of the primary key, and the plan may walk through the codes of every organization.
CREATE FUNCTION matching_codes(org_id uuid, pattern text, tag text, scan_type text, active boolean)
RETURNS SETOF qr_codes LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT q.* FROM qr_codes q
    WHERE q.org_id = ANY (ARRAY[$1]) AND q.deleted_at IS NULL
      AND ($2 IS NULL OR q.code ILIKE $2 OR q.description ILIKE $2
           OR q.id = ANY (ARRAY(
               SELECT t.qr_code_id FROM code_texts t
               WHERE t.org_id = $1 AND t.is_alias AND t.qr_code_id IS NOT NULL AND t.code ILIKE $2)))
      AND ($3 IS NULL OR q.tags @> ARRAY[$3])
      AND ($4 IS NULL OR q.scan_type = $4)
      AND ($5 IS NULL OR q.active = $5)
$$;

-- The planner inlines it. Across the date line, `west` is greater than `east`. Longitudes 180 and -180 are one meridian.
CREATE FUNCTION is_in_box(latitude double precision, longitude double precision, west double precision,
                          south double precision, east double precision, north double precision)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT $1 BETWEEN $4 AND $6
       AND CASE WHEN $3 <= $5 THEN $2 BETWEEN $3 AND $5 OR abs($2) = 180 AND ($3 = -180 OR $5 = 180)
                ELSE $2 >= $3 OR $2 <= $5 END
$$;

-- With pg_trgm, a search for a part of a code's text or description reads an index. Without it, the search reads the
-- codes of the organization.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        BEGIN
            CREATE EXTENSION IF NOT EXISTS pg_trgm;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'pg_trgm is available, but this role may not create it: no index for searches';
        END;
    END IF;
    -- An administrator may have created the extension in a schema that this role does not search.
    IF EXISTS (SELECT FROM pg_opclass WHERE opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(oid)) THEN
        CREATE INDEX qr_codes_text ON qr_codes USING gin (code gin_trgm_ops, description gin_trgm_ops)
            WHERE deleted_at IS NULL;
    END IF;
END $$;

-- With PostGIS, a geography column serves maps and proximity queries. `latitude` and `longitude` remain authoritative.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis') THEN
        BEGIN
            CREATE EXTENSION IF NOT EXISTS postgis;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'PostGIS is available, but this role may not create it: no location column';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'postgis') THEN
        ALTER TABLE qr_codes ADD COLUMN location geography(Point, 4326) GENERATED ALWAYS AS (
            ST_SetSRID(ST_MakePoint(longitude, latitude), 4326)::geography
        ) STORED;
        CREATE INDEX qr_codes_location ON qr_codes USING gist (location);
    END IF;
END $$;

-- How the image of a code differs from black squares on white. A code without a row has the defaults.
CREATE TABLE qr_customizations (
    qr_code_id         uuid PRIMARY KEY REFERENCES qr_codes ON DELETE CASCADE,
    foreground_color   text NOT NULL DEFAULT '#000000'
                       CONSTRAINT qr_customizations_foreground CHECK (foreground_color ~ '^#[0-9A-Fa-f]{6}$'),
    background_color   text NOT NULL DEFAULT '#FFFFFF'
                       CONSTRAINT qr_customizations_background CHECK (background_color ~ '^#[0-9A-Fa-f]{6}$'),
    style              text NOT NULL DEFAULT 'squares'
                       CONSTRAINT qr_customizations_style CHECK (style IN ('squares', 'dots', 'rounded')),
    logo_size_percent  smallint NOT NULL DEFAULT 20  -- of the symbol's width
                       CONSTRAINT qr_customizations_logo_size CHECK (logo_size_percent BETWEEN 10 AND 30),
    logo               bytea  -- PNG, re-encoded by Waymark
                       CONSTRAINT qr_customizations_logo_bounded CHECK (octet_length(logo) <= 8388608),
    logo_digest        text CHECK (logo_digest ~ '^[0-9a-f]{64}$'),  -- SHA-256: compares logos without reading them
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT qr_customizations_logo_pair CHECK ((logo IS NULL) = (logo_digest IS NULL))
);
-- A PNG does not compress again. PostgreSQL 15 has no STORAGE clause in CREATE TABLE.
ALTER TABLE qr_customizations ALTER COLUMN logo SET STORAGE EXTERNAL;

-- The design of the codes of an organization that have no customization.
CREATE TABLE organization_designs (
    org_id             uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    foreground_color   text NOT NULL DEFAULT '#000000'
                       CONSTRAINT organization_designs_foreground CHECK (foreground_color ~ '^#[0-9A-Fa-f]{6}$'),
    background_color   text NOT NULL DEFAULT '#FFFFFF'
                       CONSTRAINT organization_designs_background CHECK (background_color ~ '^#[0-9A-Fa-f]{6}$'),
    style              text NOT NULL DEFAULT 'squares'
                       CONSTRAINT organization_designs_style CHECK (style IN ('squares', 'dots', 'rounded')),
    logo_size_percent  smallint NOT NULL DEFAULT 20  -- of the symbol's width
                       CONSTRAINT organization_designs_logo_size CHECK (logo_size_percent BETWEEN 10 AND 30),
    logo               bytea  -- PNG, re-encoded by Waymark
                       CONSTRAINT organization_designs_logo_bounded CHECK (octet_length(logo) <= 8388608),
    logo_digest        text CHECK (logo_digest ~ '^[0-9a-f]{64}$'),  -- SHA-256: compares logos without reading them
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT organization_designs_logo_pair CHECK ((logo IS NULL) = (logo_digest IS NULL))
);
ALTER TABLE organization_designs ALTER COLUMN logo SET STORAGE EXTERNAL;

-- The design of each code: its own, or else that of its organization. Null columns: black squares on white.
CREATE VIEW code_designs AS
    SELECT q.id AS qr_code_id, coalesce(c.foreground_color, o.foreground_color) AS foreground_color,
        coalesce(c.background_color, o.background_color) AS background_color, coalesce(c.style, o.style) AS style,
        coalesce(c.logo_size_percent, o.logo_size_percent) AS logo_size_percent,
        coalesce(c.logo_digest, o.logo_digest) AS logo_digest, coalesce(c.logo, o.logo) AS logo,
        c.qr_code_id IS NOT NULL AS is_own
    FROM qr_codes q LEFT JOIN qr_customizations c ON c.qr_code_id = q.id
    LEFT JOIN organization_designs o ON o.org_id = q.org_id AND c.qr_code_id IS NULL;

-- What an organization uses of its quotas. Triggers update the row. A transaction that changes a count locks the row
-- until it ends, so the count that it then reads is exact. The triggers run after the rows that they count are locked.
CREATE TABLE organization_usage (
    org_id      uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    codes       bigint NOT NULL DEFAULT 0 CHECK (codes >= 0),  -- without deleted ones
    texts       bigint NOT NULL DEFAULT 0,  -- code texts ever claimed, at most: a text that is used again counts twice
    logo_bytes  bigint NOT NULL DEFAULT 0 CHECK (logo_bytes >= 0)
) WITH (fillfactor = 50);  -- changes with every new code: leaves room for HOT updates

CREATE FUNCTION count_added_codes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO organization_usage AS u (org_id, codes, texts)
        SELECT org_id, count(*) FILTER (WHERE deleted_at IS NULL), count(*) FROM added GROUP BY org_id ORDER BY org_id
        ON CONFLICT (org_id) DO UPDATE SET codes = u.codes + EXCLUDED.codes, texts = u.texts + EXCLUDED.texts;
    RETURN NULL;
END $$;
CREATE TRIGGER qr_codes_count_added AFTER INSERT ON qr_codes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_added_codes();

CREATE FUNCTION count_removed_codes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE organization_usage u SET codes = u.codes - r.codes
        FROM (SELECT org_id, count(*) AS codes FROM removed WHERE deleted_at IS NULL GROUP BY org_id) r
        WHERE u.org_id = r.org_id;
    RETURN NULL;
END $$;
CREATE TRIGGER qr_codes_count_removed AFTER DELETE ON qr_codes
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_removed_codes();

-- For each row, because judging updates codes all the time, and a trigger for the statement would run each time.
CREATE FUNCTION count_deleted_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE organization_usage SET codes = codes + CASE WHEN NEW.deleted_at IS NULL THEN 1 ELSE -1 END
        WHERE org_id = NEW.org_id;
    RETURN NULL;
END $$;
CREATE TRIGGER qr_codes_count_deleted AFTER UPDATE OF deleted_at ON qr_codes
    FOR EACH ROW WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION count_deleted_code();

CREATE FUNCTION count_logo_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    added bigint := coalesce(octet_length(NEW.logo), 0) - coalesce(octet_length(OLD.logo), 0);
BEGIN
    IF added <> 0 THEN
        UPDATE organization_usage u SET logo_bytes = u.logo_bytes + added
            FROM qr_codes q WHERE q.id = coalesce(NEW.qr_code_id, OLD.qr_code_id) AND u.org_id = q.org_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER qr_customizations_count_logo_bytes AFTER INSERT OR UPDATE OF logo OR DELETE ON qr_customizations
    FOR EACH ROW EXECUTE FUNCTION count_logo_bytes();

CREATE FUNCTION count_organization_logo_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Two statements: an insert of a negative number fails before its conflict is found.
    INSERT INTO organization_usage (org_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    UPDATE organization_usage SET
        logo_bytes = logo_bytes + coalesce(octet_length(NEW.logo), 0) - coalesce(octet_length(OLD.logo), 0)
        WHERE org_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER organizations_count_logo_bytes AFTER UPDATE OF logo ON organizations
    FOR EACH ROW EXECUTE FUNCTION count_organization_logo_bytes();

CREATE FUNCTION count_design_logo_bytes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    added bigint := coalesce(octet_length(NEW.logo), 0) - coalesce(octet_length(OLD.logo), 0);
BEGIN
    IF added > 0 THEN
        INSERT INTO organization_usage (org_id) VALUES (NEW.org_id) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE organization_usage SET logo_bytes = logo_bytes + added
        WHERE org_id = coalesce(NEW.org_id, OLD.org_id) AND added <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER organization_designs_count_logo_bytes AFTER INSERT OR UPDATE OF logo OR DELETE ON organization_designs
    FOR EACH ROW EXECUTE FUNCTION count_design_logo_bytes();

-- Links that show a rotating code on a screen without a login. A revoked link is deleted.
CREATE TABLE code_screens (
    id            uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id        uuid NOT NULL,
    qr_code_id    uuid NOT NULL,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    token_digest  bytea NOT NULL CONSTRAINT code_screens_token_key UNIQUE CHECK (octet_length(token_digest) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz,  -- to the minute
    CONSTRAINT code_screens_qr_code_fkey FOREIGN KEY (qr_code_id, org_id) REFERENCES qr_codes (id, org_id)
        ON DELETE CASCADE
);
CREATE INDEX code_screens_qr_code ON code_screens (qr_code_id);
CREATE INDEX code_screens_org ON code_screens (org_id, id);

CREATE TABLE encounters (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    qr_code_id        uuid NOT NULL UNIQUE REFERENCES qr_codes ON DELETE CASCADE,
    puzzle_type       text NOT NULL CHECK (puzzle_type IN ('decryption', 'pattern', 'hacking')),
    difficulty_level  integer NOT NULL CONSTRAINT encounters_difficulty CHECK (difficulty_level BETWEEN 1 AND 10),
    data              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(data) = 'object'),
    solution          text,
    max_attempts      integer CHECK (max_attempts >= 1)
);

-- Scans ---------------------------------------------------------------------------------------------------------------

-- The row is both the request and its verdict.
CREATE TABLE player_scans (
    id                   uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    player_id            uuid NOT NULL REFERENCES players,
    qr_code_id           uuid,  -- null: no such code at the time of the scan
    org_id               uuid,  -- of the code
    qr_code              text NOT NULL CHECK (length(qr_code) BETWEEN 1 AND 2048),
    latitude             double precision CONSTRAINT player_scans_latitude CHECK (latitude BETWEEN -90 AND 90),
    longitude            double precision CONSTRAINT player_scans_longitude CHECK (longitude BETWEEN -180 AND 180),
    accuracy             double precision CHECK (accuracy >= 0 AND accuracy < 'infinity'),  -- metres, from the phone
    scan_time            timestamptz NOT NULL DEFAULT now(),  -- when it happened, never later than received_at
    client_time          timestamptz,  -- when it happened, by the client's own clock
    client_sent_at       timestamptz,  -- when the client sent the batch of this scan, by its own clock; null: sent alone
    received_at          timestamptz NOT NULL DEFAULT now(),
    nonce                text CHECK (length(nonce) BETWEEN 1 AND 64),
    request_digest       bytea,  -- distinguishes a retry from another scan with the same nonce
    request_id           text,
    traceparent          text CHECK (length(traceparent) = 55),  -- of the request, if its trace is sampled
    step_mac             text CHECK (length(step_mac) <= 40),  -- of a rotating code: step and MAC, from the scanned URL
    -- The submitter; null: the player. Not a foreign key: each scan would lock the row of its key, and API keys are
    -- never deleted.
    api_key_id           uuid,
    -- An API key submitted it for a code outside its organization. Counted, but the player never sees it.
    outside_history      boolean NOT NULL GENERATED ALWAYS AS (api_key_id IS NOT NULL AND qr_code_id IS NULL) STORED,
    -- Derived from the User-Agent, which is not stored. Null: the row was inserted by hand.
    device               text CONSTRAINT player_scans_device CHECK (device IN ('phone', 'tablet', 'desktop', 'other')),
    status               text NOT NULL DEFAULT 'pending'
                         CHECK (status IN ('pending', 'success', 'failure', 'held', 'annulled')),
    success              boolean,  -- follows from the status, or gives it: see set_success
    reason               text CHECK (reason IN (
                             'too_late', 'unknown_code', 'forged_code', 'stale_code', 'inactive', 'not_started',
                             'expired', 'location_required', 'better_location_needed', 'not_present', 'player_limit',
                             'cooldown', 'sold_out', 'impossible_travel', 'identical_coordinates', 'burst', 'late',
                             'not_judged')),
    distance_m           double precision,
    outcome              jsonb NOT NULL DEFAULT '{}',  -- what a success gives: reward, encounter or destination
    decision_inputs      jsonb,  -- what each check of a failed or held scan looked at
    compare_coordinates  boolean,  -- whether fair play compares its coordinates with other players'
    settled_at           timestamptz,
    position_cleared_at  timestamptz,  -- when its position was removed, after its retention
    reviewed_by          uuid,
    reviewed_at          timestamptz,
    lease_token          uuid,
    lease_until          timestamptz,
    attempts             smallint NOT NULL DEFAULT 0,
    last_error           text,  -- of the last attempt, for operators
    CONSTRAINT player_scans_qr_code_fkey FOREIGN KEY (qr_code_id, org_id) REFERENCES qr_codes (id, org_id),
    CONSTRAINT player_scans_org_of_code CHECK ((qr_code_id IS NULL) = (org_id IS NULL)),
    -- Workers cannot read other times. A scan that no worker can read never gets a verdict.
    CONSTRAINT player_scans_times CHECK (
        scan_time >= '0001-01-02 00:00Z' AND scan_time < '9999-12-31 00:00Z'
        AND received_at >= '0001-01-02 00:00Z' AND received_at < '9999-12-31 00:00Z'),
    CONSTRAINT player_scans_coordinates_pair CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT player_scans_position_cleared CHECK (
        position_cleared_at IS NULL OR (latitude IS NULL AND accuracy IS NULL)),
    CONSTRAINT player_scans_one_verdict CHECK ((status = 'pending') = (settled_at IS NULL)),
    CONSTRAINT player_scans_reason_required CHECK (status NOT IN ('failure', 'held') OR reason IS NOT NULL),
    CONSTRAINT player_scans_reason_of_status CHECK (status IN ('failure', 'held') OR reason IS NULL),
    CONSTRAINT player_scans_review_pair CHECK (reviewed_by IS NULL OR reviewed_at IS NOT NULL),
    CONSTRAINT player_scans_success_of_status CHECK (success IS NOT DISTINCT FROM CASE status
        WHEN 'success' THEN true WHEN 'failure' THEN false WHEN 'annulled' THEN false
    END)
) WITH (fillfactor = 70);  -- a claim changes no indexed column: leaves room for HOT updates
-- Per player and submitter: an API key, or zero for the player. No key uses up the nonces of a player.
CREATE UNIQUE INDEX player_scans_nonce_key ON player_scans
    (player_id, coalesce(api_key_id, '00000000-0000-0000-0000-000000000000'), nonce) WHERE nonce IS NOT NULL;
CREATE INDEX player_scans_pending ON player_scans (id) WHERE status = 'pending';
-- The pending scans of one batch have one time of receipt. They are judged in the order of their ids.
CREATE INDEX player_scans_pending_batch ON player_scans (player_id, received_at, id)
    WHERE status = 'pending' AND client_sent_at IS NOT NULL;
CREATE INDEX player_scans_history ON player_scans (player_id, outside_history, scan_time, id);
CREATE INDEX player_scans_qr_code ON player_scans (qr_code_id, scan_time, id);
-- Player limits and cooldowns are judged by the scans that counted. The table of players' progress reads the players of
-- each code, from this index alone.
CREATE INDEX player_scans_counted ON player_scans (qr_code_id, player_id, scan_time) INCLUDE (status)
    WHERE status IN ('success', 'held');
-- Travel compares the counted scans of one player and one submitter: an API key, or zero for the player. The scans that
-- an API key submits do not slow down the search for the player's own.
CREATE INDEX player_scans_locations ON player_scans
    (player_id, coalesce(api_key_id, '00000000-0000-0000-0000-000000000000'), scan_time)
    WHERE status IN ('success', 'held') AND latitude IS NOT NULL;
-- Positions whose retention ends, the oldest first. A held scan keeps its position until it is reviewed.
CREATE INDEX player_scans_positions ON player_scans (org_id, scan_time)
    WHERE status IN ('success', 'failure', 'annulled') AND (latitude IS NOT NULL OR accuracy IS NOT NULL);
CREATE INDEX player_scans_coordinates ON player_scans (latitude, longitude, scan_time) WHERE compare_coordinates;
-- A page of an organization's scans with one verdict is one range, in the order of the page.
CREATE INDEX player_scans_verdicts ON player_scans (org_id, status, (coalesce(reason, '')), scan_time, id);
-- Where and when a player was, by each counted scan. Its `submitter_id` and its conditions are those of the index
-- `player_scans_locations`.
CREATE VIEW location_fixes AS
    SELECT s.id, s.player_id, coalesce(s.api_key_id, '00000000-0000-0000-0000-000000000000') AS submitter_id,
           s.scan_time, s.latitude, s.longitude, s.accuracy, s.received_at, s.org_id, s.api_key_id
    FROM player_scans s WHERE s.status IN ('success', 'held') AND s.latitude IS NOT NULL;

-- A row that names its code by id alone, as rows inserted by hand do, gets the code's text and organization.
CREATE FUNCTION fill_qr_code() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(NEW.qr_code, code), org_id INTO NEW.qr_code, NEW.org_id FROM qr_codes WHERE id = NEW.qr_code_id;
    RETURN NEW;
END $$;
CREATE TRIGGER player_scans_fill_qr_code BEFORE INSERT ON player_scans
    FOR EACH ROW WHEN (NEW.qr_code IS NULL OR (NEW.qr_code_id IS NOT NULL AND NEW.org_id IS NULL))
    EXECUTE FUNCTION fill_qr_code();

-- A row that is inserted with `success` and without a status, as clients of the seed schema insert it, has its verdict
-- already. In that schema, only the check of the location fails. Otherwise `success` follows from the status. A generated
-- column could not be inserted. The conditions spare a pending scan of the API the call.
CREATE FUNCTION set_success() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'pending' AND NEW.success IS NOT NULL THEN
        NEW.status := CASE WHEN NEW.success THEN 'success' ELSE 'failure' END;
        NEW.reason := CASE WHEN NOT NEW.success THEN coalesce(NEW.reason, 'not_present') END;
        NEW.settled_at := now();
    ELSE
        NEW.success := CASE NEW.status WHEN 'success' THEN true WHEN 'failure' THEN false WHEN 'annulled' THEN false END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER player_scans_insert_success BEFORE INSERT ON player_scans
    FOR EACH ROW WHEN (NEW.success IS NOT NULL OR NEW.status <> 'pending') EXECUTE FUNCTION set_success();
CREATE TRIGGER player_scans_update_success BEFORE UPDATE OF status ON player_scans
    FOR EACH ROW WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION set_success();

-- A scan gets one verdict. A review then changes it from held to success, or from either to annulled.
CREATE FUNCTION guard_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ((OLD.status = 'held' AND NEW.status IN ('success', 'annulled'))
            OR (OLD.status = 'success' AND NEW.status = 'annulled')) THEN
        RAISE EXCEPTION 'scan % already has a verdict: % cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'player_scans_one_verdict';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER player_scans_guard_verdict BEFORE UPDATE OF status ON player_scans
    FOR EACH ROW WHEN (OLD.status <> 'pending' AND OLD.status <> NEW.status) EXECUTE FUNCTION guard_verdict();

-- Return whether a scan holds data about its player beyond what is counted. An erasure sets these columns to null.
CREATE FUNCTION scan_has_personal_data(scan player_scans) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT scan.latitude IS NOT NULL OR scan.accuracy IS NOT NULL OR scan.distance_m IS NOT NULL
        OR scan.client_time IS NOT NULL OR scan.client_sent_at IS NOT NULL OR scan.nonce IS NOT NULL
        OR scan.request_digest IS NOT NULL OR scan.request_id IS NOT NULL OR scan.traceparent IS NOT NULL
        OR scan.compare_coordinates IS NOT NULL
        OR scan.last_error IS NOT NULL
        OR coalesce(jsonb_path_exists(scan.decision_inputs, '$.*.*'), false)
        OR (scan.qr_code_id IS NULL AND scan.status <> 'pending' AND scan.qr_code <> 'erased')
$$;

-- Each scan that gave an encounter lets the player try its puzzle, under the terms of the time of the scan. A later change
-- of the code changes neither reward nor attempts.
CREATE TABLE encounter_attempts (
    scan_id          uuid PRIMARY KEY REFERENCES player_scans,
    player_id        uuid NOT NULL REFERENCES players,
    encounter_id     uuid NOT NULL,  -- not a foreign key: the puzzle may be removed from its code
    max_attempts     integer CHECK (max_attempts >= 1),
    reward_item      text CHECK (length(reward_item) BETWEEN 1 AND 100),
    reward_quantity  integer CHECK (reward_quantity BETWEEN 1 AND 1000000),
    solution_digest  bytea CHECK (octet_length(solution_digest) = 32),  -- null: the puzzle had no solution
    answer_within    interval NOT NULL,
    closes_at        timestamptz,  -- null: the scan is held, and a release opens the puzzle
    wrong_answers    integer NOT NULL DEFAULT 0 CHECK (wrong_answers >= 0),
    solved_at        timestamptz,
    CONSTRAINT encounter_attempts_reward_pair CHECK ((reward_item IS NULL) = (reward_quantity IS NULL))
);
CREATE INDEX encounter_attempts_encounter ON encounter_attempts (player_id, encounter_id, scan_id);
CREATE INDEX encounter_attempts_list ON encounter_attempts (player_id, scan_id);
CREATE INDEX encounter_attempts_open ON encounter_attempts (player_id, closes_at) WHERE solved_at IS NULL;

-- Puzzles of successful scans, as their players see them. An open one accepts another answer. Only a solved one shows its
-- reward.
CREATE VIEW opened_puzzles AS
    SELECT a.player_id, a.scan_id, a.encounter_id, s.qr_code, q.description,
           s.outcome #>> '{encounter,puzzle_type}' AS puzzle_type,
           (s.outcome #> '{encounter,difficulty_level}')::integer AS difficulty_level,
           s.outcome #> '{encounter,data}' AS data,
           -- greatest() ignores NULL, which is no limit.
           CASE WHEN a.max_attempts IS NOT NULL THEN greatest(0, a.max_attempts - a.wrong_answers) END AS attempts_left,
           a.solved_at IS NOT NULL AS solved, a.solved_at, a.closes_at,
           CASE WHEN a.solved_at IS NOT NULL THEN a.reward_item END AS reward,
           CASE WHEN a.solved_at IS NOT NULL THEN a.reward_quantity END AS quantity,
           a.solved_at IS NULL AND a.closes_at > now() AND coalesce(a.wrong_answers < a.max_attempts, true)
               AND coalesce(o.closed_at > now(), true) AS is_open
    FROM encounter_attempts a
    JOIN player_scans s ON s.id = a.scan_id AND s.status = 'success'
    JOIN qr_codes q ON q.id = s.qr_code_id
    JOIN organizations o ON o.id = s.org_id;

-- Event log -----------------------------------------------------------------------------------------------------------

-- Consumers read it in the order of positions. The relay assigns them to committed events, densely: ids become visible
-- out of order. Until then, an event has no position, and only the indexes of its id and its transaction have it.
CREATE TABLE events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in the order of inserts
    position      bigint,
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- meaningless in another server, and once numbered
    needs_notify  boolean NOT NULL DEFAULT false,  -- the relay notifies channel `qr_scan` when it numbers the event
    type          text NOT NULL,
    player_id     uuid,
    org_id        uuid,
    data          jsonb NOT NULL DEFAULT '{}',
    at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_player ON events (player_id, position) WHERE player_id IS NOT NULL AND position IS NOT NULL;
CREATE INDEX events_org ON events (org_id, position) WHERE org_id IS NOT NULL AND position IS NOT NULL;
CREATE INDEX events_unnumbered ON events (xid) WHERE position IS NULL;

-- How far each consumer has read the log, and the last position that retention removed.
CREATE TABLE log_positions (
    name      text PRIMARY KEY,
    position  bigint NOT NULL
);

-- The servers that assigned positions. One that took over, by a restore or a failover, skips the positions between
-- these two: the server before it may have assigned them to events that are lost.
CREATE TABLE log_servers (
    first_position     bigint PRIMARY KEY,
    previous_position  bigint NOT NULL,
    server             text NOT NULL
);

-- The last position of the log, or 0, also if its events were purged.
CREATE VIEW event_log_end AS
    SELECT greatest(
        (SELECT max(position) FROM events),
        (SELECT position FROM log_positions WHERE name = 'retention_horizon'),
        (SELECT max(first_position) - 1 FROM log_servers),
        0) AS position;

-- Notify channel `qr_scan` of a scan. NOTIFY fails at 8,000 bytes: it gets at most 200 characters of the code text.
CREATE FUNCTION notify_scan(player_id uuid, qr_code text, scan_id uuid) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('qr_scan', json_build_object(
        'player_id', player_id, 'qr_code', left(qr_code, 200), 'scan_id', scan_id)::text)
$$;

-- Append each inserted scan to the event log, also one inserted by hand. A scan that arrives with its verdict, such as
-- imported history, has two events: rollups count the verdict, and a review can correct it. The trigger runs once per
-- statement, so a batch pays once.
--
-- It notifies only of scans without a device, as those inserted by hand: from NOTIFY to the end of the commit, PostgreSQL
-- holds a lock of the whole server. Of the others, the relay notifies in batches.
CREATE FUNCTION append_scan_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, player_id, org_id, data, needs_notify)
        SELECT new_events.type, CASE WHEN NOT s.outside_history THEN s.player_id END, s.org_id, new_events.data,
               new_events.type = 'qr_scan' AND s.device IS NOT NULL
        FROM inserted s CROSS JOIN LATERAL (
            SELECT 1, 'qr_scan', jsonb_build_object('scan_id', s.id, 'qr_code', s.qr_code)
            UNION ALL
            SELECT 2, 'scan_result', jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', s.qr_code, 'status', s.status, 'reason', s.reason))
            WHERE s.status <> 'pending'
        ) new_events (number, type, data)
        ORDER BY s.id, new_events.number;
    PERFORM notify_scan(s.player_id, s.qr_code, s.id) FROM inserted s WHERE s.device IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER player_scans_append_events AFTER INSERT ON player_scans
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION append_scan_events();

-- Ledger --------------------------------------------------------------------------------------------------------------

-- A player's inventory: a balance is a sum of entries, per issuer and item. Each entry has one source, so nothing is
-- given or redeemed twice.
CREATE TABLE inventory_ledger (
    id         uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    player_id  uuid NOT NULL REFERENCES players,
    -- The issuer; null: a quest of the installation. Not a foreign key: each entry would lock its organization, and
    -- entries outlive it.
    org_id     uuid,
    item       text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    quantity   integer NOT NULL,
    -- What an annulment could not reverse, because it was redeemed before. Negative: what an undo covers of that.
    shortfall  integer NOT NULL DEFAULT 0,
    source     text NOT NULL
               CHECK (source IN ('scan', 'annulment', 'encounter', 'quest', 'redemption', 'redemption_undo')),
    source_id  uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inventory_ledger_source_key UNIQUE (source, source_id),
    CONSTRAINT inventory_ledger_not_empty CHECK (quantity <> 0 OR shortfall <> 0),
    CONSTRAINT inventory_ledger_shortfall CHECK (shortfall = 0 OR source IN ('annulment', 'redemption_undo')),
    CONSTRAINT inventory_ledger_issuer CHECK (
        org_id IS NOT NULL OR source NOT IN ('scan', 'encounter', 'redemption', 'redemption_undo'))
);
CREATE INDEX inventory_ledger_balance ON inventory_ledger (player_id, org_id, item) INCLUDE (quantity);

-- No balance falls below zero. An annulment takes what is left, and records the rest as its shortfall. The undo of a
-- redemption covers open shortfalls first: it returns no item whose scan was annulled. Any other entry that would take
-- more than the balance is an error.
CREATE FUNCTION guard_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    balance bigint;
    open_shortfall bigint;
BEGIN
    -- Entries that lower balances of one player are made one after the other. Scans lock their player, too. The sums are
    -- read by a statement of its own: it sees what was committed while this one waited.
    PERFORM FROM players p WHERE p.id = NEW.player_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(l.quantity), 0), coalesce(sum(l.shortfall), 0) INTO balance, open_shortfall
        FROM inventory_ledger l
        WHERE l.player_id = NEW.player_id AND l.org_id IS NOT DISTINCT FROM NEW.org_id AND l.item = NEW.item;
    IF NEW.source = 'annulment' THEN
        NEW.shortfall := greatest(-NEW.quantity - balance, 0);
        NEW.quantity := NEW.quantity + NEW.shortfall;
    ELSIF NEW.source = 'redemption_undo' THEN
        NEW.shortfall := -least(NEW.quantity, open_shortfall);
        NEW.quantity := NEW.quantity + NEW.shortfall;
    ELSIF balance + NEW.quantity < 0 THEN
        RAISE EXCEPTION 'the balance of % is %, too low for %', NEW.item, balance, -NEW.quantity
            USING ERRCODE = 'check_violation', CONSTRAINT = 'inventory_ledger_balance';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER inventory_ledger_guard_balance BEFORE INSERT ON inventory_ledger
    FOR EACH ROW WHEN (NEW.quantity < 0 OR NEW.source = 'redemption_undo') EXECUTE FUNCTION guard_balance();

-- Redemptions ---------------------------------------------------------------------------------------------------------

-- What a player shows at a service counter. A used token stays until it is purged.
CREATE TABLE redemption_tokens (
    digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),  -- SHA-256
    player_id   uuid NOT NULL REFERENCES players ON DELETE CASCADE,
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,  -- the issuer of the item
    item        text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    quantity    integer NOT NULL CHECK (quantity > 0),
    expires_at  timestamptz NOT NULL
);
CREATE INDEX redemption_tokens_player ON redemption_tokens (player_id);
CREATE INDEX redemption_tokens_expiry ON redemption_tokens (expires_at);

-- Items that were handed out. The service counter is a member or an API key. An undone redemption stays.
CREATE TABLE redemptions (
    id            uuid PRIMARY KEY,
    token_digest  bytea NOT NULL CONSTRAINT redemptions_token_key UNIQUE,  -- a token is used once
    player_id     uuid NOT NULL REFERENCES players,
    org_id        uuid NOT NULL REFERENCES organizations,
    item          text NOT NULL,
    quantity      integer NOT NULL CHECK (quantity > 0),
    confirmed_by  uuid REFERENCES players,
    api_key_id    uuid REFERENCES api_keys,
    at            timestamptz NOT NULL DEFAULT now(),
    undone_at     timestamptz,
    CONSTRAINT redemptions_one_counter CHECK (num_nonnulls(confirmed_by, api_key_id) = 1)
);
-- One index per filter, newest first: a page reads only its own redemptions.
CREATE INDEX redemptions_org ON redemptions (org_id, at, id);
CREATE INDEX redemptions_item ON redemptions (org_id, item, at, id);
CREATE INDEX redemptions_counter ON redemptions (org_id, coalesce(confirmed_by, api_key_id), at, id);
CREATE INDEX redemptions_player ON redemptions (player_id, id);
CREATE INDEX redemptions_confirmed_by ON redemptions (confirmed_by, id) WHERE confirmed_by IS NOT NULL;

-- What may be redeemed of an item. An item without a row, which none was redeemed of, has no limits.
CREATE TABLE items (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    item        text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    stock       bigint CHECK (stock >= 0),  -- may be redeemed in all; null: no limit
    expires_at  timestamptz,
    redeemed    bigint NOT NULL DEFAULT 0 CHECK (redeemed >= 0),  -- in all, without undone redemptions
    CONSTRAINT items_pkey PRIMARY KEY (org_id, item)
);

-- Judging -------------------------------------------------------------------------------------------------------------

-- A batch of scans is locked, and all that its verdicts depend on is read, in one call. The functions are plpgsql:
-- their plans are kept, and each statement sees what was committed before it, so the reads see the state after the
-- locks. Each kind of row is locked in the order of ids, so that two workers never wait for each other. NO KEY UPDATE
-- lets new scans of the same players and codes be inserted.
--
-- Codes with a stock are locked first, by id, and then all others, by id. Workers lock the first before they judge, and
-- the others when they count uses. So every transaction that locks several codes does it in this order.
--
-- Plans are generic: for a few scans, planning takes as long as running. They find each row by its index: a plan that was
-- made while the tables were small would otherwise read whole tables, or the whole backlog of pending scans.

-- Lock those of these scans that are still leased under this token, and return their ids.
CREATE FUNCTION lock_leased_scans(ids uuid[], token uuid) RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT s.id FROM player_scans s WHERE s.id = ANY (ids) AND s.lease_token = token AND s.status = 'pending'
        ORDER BY s.id FOR NO KEY UPDATE);
END $$;

-- Keep other workers from judging these players: limits and travel hold when two of them judge one player.
CREATE FUNCTION lock_players(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM players p WHERE p.id = ANY (ids) ORDER BY p.id FOR NO KEY UPDATE;
END $$;

-- Keep other workers from judging scans of these codes' organizations that have fair-play rules.
CREATE FUNCTION lock_fair_play_organizations(code_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM organizations o
        WHERE o.fair_play IS NOT NULL AND o.id IN (SELECT q.org_id FROM qr_codes q WHERE q.id = ANY (code_ids))
        ORDER BY o.id FOR NO KEY UPDATE;
END $$;

-- Keep other workers from judging scans of those of these codes that have a stock.
CREATE FUNCTION lock_limited_codes(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM qr_codes q WHERE q.id = ANY (ids) AND q.max_scans IS NOT NULL ORDER BY q.id FOR NO KEY UPDATE;
END $$;

-- Release those of these scans, leased by the caller, whose batch has an earlier scan of the same player that another
-- worker judges or that waits for a retry: they are judged in the order of their own time. They are claimed again after a
-- second or half of their age, so that claiming them never takes all the time of the workers. The attempt does not count.
-- Return their ids. The caller holds the locks of the scans and of their players, so no earlier scan is settled meanwhile.
CREATE FUNCTION postpone_scans(scans player_scans[]) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    held uuid[] := ARRAY(SELECT s.id FROM unnest(scans) s);
    postponed uuid[] := ARRAY(
        SELECT s.id FROM unnest(scans) s
        WHERE s.client_sent_at IS NOT NULL AND EXISTS (
            SELECT FROM player_scans earlier
            WHERE earlier.player_id = s.player_id AND earlier.received_at = s.received_at AND earlier.id < s.id
              AND earlier.api_key_id IS NOT DISTINCT FROM s.api_key_id
              AND earlier.status = 'pending' AND earlier.client_sent_at IS NOT NULL AND earlier.id <> ALL (held)));
BEGIN
    IF postponed <> '{}' THEN
        UPDATE player_scans s
            SET lease_token = NULL, attempts = s.attempts - 1,
                lease_until = now() + least(greatest((now() - s.received_at) / 2, interval '1 second'), interval '1 minute')
            WHERE s.id = ANY (postponed);
    END IF;
    RETURN postponed;
END $$;

-- The columns of a code that judging reads. No code of a closed organization is active. A restored organization starts
-- the use of its codes again, as an activation does: nothing is paid for the time in which it was closed.
CREATE VIEW judged_codes AS
    SELECT q.id, q.code, q.org_id, q.scan_type, q.requires_location, q.latitude, q.longitude, q.radius_m,
           q.active AND coalesce(o.closed_at > now(), true) AS active, q.deleted_at IS NOT NULL AS deleted, q.starts_at,
           q.expires_at, q.max_scans, q.use_count, q.per_player_limit, q.cooldown_seconds, q.offline_hours,
           CASE WHEN q.rotating THEN json_build_array(
               q.rotation_seconds, encode(q.rotation_secret, 'base64')) END AS rotation,
           greatest(q.usable_since, o.restored_at) AS usable_since, q.reward_item, q.reward_quantity,
           CASE WHEN e.id IS NOT NULL THEN json_build_object(
               'id', e.id, 'puzzle_type', e.puzzle_type, 'difficulty_level', e.difficulty_level, 'data', e.data
           ) END AS encounter,
           e.solution, e.max_attempts, q.answer_within_hours,
           CASE WHEN d.id IS NOT NULL THEN json_build_object(
               'code', d.code, 'description', d.description) END AS destination
    FROM qr_codes q
    JOIN organizations o ON o.id = q.org_id
    LEFT JOIN encounters e ON e.qr_code_id = q.id
    LEFT JOIN qr_codes d ON d.id = q.destination_id;

-- How often each of these players has used each of these codes, and when: [player, code, count, [[scan time, time of
-- receipt]]]. First uses, most of all, have no row. Counting stops at the player's limit. Times are read as far as a
-- cooldown reaches by either clock: no scan is received more than 90 days, the highest SCAN_MAX_AGE_HOURS, after it
-- happened.
CREATE FUNCTION judged_usages(scans player_scans[]) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT json_agg(json_build_array(pairs.player_id, q.id, counted.count, recent.times))
        FROM (
            SELECT s.player_id, s.qr_code_id, min(s.scan_time) AS first_time, max(s.scan_time) AS last_time,
                   min(s.received_at) AS first_received
            FROM unnest(scans) s GROUP BY s.player_id, s.qr_code_id
        ) pairs
        JOIN qr_codes q ON q.id = pairs.qr_code_id
        CROSS JOIN LATERAL (SELECT make_interval(secs => q.cooldown_seconds) AS length) cooldown
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT FROM player_scans u
                WHERE u.player_id = pairs.player_id AND u.qr_code_id = q.id AND u.status IN ('success', 'held')
                LIMIT coalesce(q.per_player_limit, 0)
            ) counted_scans
        ) counted
        CROSS JOIN LATERAL (
            SELECT json_agg(json_build_array(u.scan_time, u.received_at)) AS times
            FROM player_scans u
            WHERE u.player_id = pairs.player_id AND u.qr_code_id = q.id AND u.status IN ('success', 'held')
              AND u.scan_time > pairs.first_time - cooldown.length - interval '90 days'
              AND (u.scan_time > pairs.first_time - cooldown.length AND u.scan_time < pairs.last_time + cooldown.length
                   OR u.received_at > pairs.first_received - cooldown.length)
        ) recent
        WHERE counted.count > 0 OR recent.times IS NOT NULL);
END $$;

-- The location fixes that the travel of these scans' players is compared with: [scan, player, scan time, latitude,
-- longitude, accuracy, time of receipt, organization, API key], perhaps more than once. The last fix of each player and
-- submitter, and the last accurate one if that is another. For scans that were submitted late, those right before and
-- right after too. With `fixes_of_org`, fixes at codes of other organizations are left out. Accurate fixes older than
-- seven days are not read: within this time a player can get anywhere.
CREATE FUNCTION judged_fixes(scans player_scans[], max_accuracy_m double precision, online_delay interval,
                             fixes_of_org uuid) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := (SELECT min(s.scan_time) - interval '7 days' FROM unnest(scans) s);
BEGIN
    RETURN (
        WITH submitters AS MATERIALIZED (
            SELECT DISTINCT s.player_id, coalesce(s.api_key_id, '00000000-0000-0000-0000-000000000000') AS submitter_id
            FROM unnest(scans) s
        ), late_scans AS MATERIALIZED (
            SELECT s.player_id, coalesce(s.api_key_id, '00000000-0000-0000-0000-000000000000') AS submitter_id,
                   s.scan_time
            FROM unnest(scans) s WHERE s.received_at - s.scan_time > online_delay
        ), last_fixes AS MATERIALIZED (
            SELECT fix.* FROM submitters CROSS JOIN LATERAL (
                SELECT * FROM location_fixes f
                WHERE f.player_id = submitters.player_id AND f.submitter_id = submitters.submitter_id
                  AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                ORDER BY f.scan_time DESC LIMIT 1
            ) fix
        ), fixes AS (
            SELECT * FROM last_fixes
            UNION ALL
            SELECT fix.* FROM last_fixes CROSS JOIN LATERAL (
                SELECT * FROM location_fixes f
                WHERE f.player_id = last_fixes.player_id AND f.submitter_id = last_fixes.submitter_id
                  AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                  AND coalesce(f.accuracy, 0) <= max_accuracy_m AND f.scan_time > since
                ORDER BY f.scan_time DESC LIMIT 1
            ) fix
            WHERE last_fixes.accuracy > max_accuracy_m
            UNION ALL
            SELECT fix.* FROM late_scans CROSS JOIN LATERAL (
                (SELECT * FROM location_fixes f
                 WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
                   AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                   AND f.scan_time <= late_scans.scan_time
                 ORDER BY f.scan_time DESC LIMIT 1)
                UNION ALL
                (SELECT * FROM location_fixes f
                 WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
                   AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                   AND f.scan_time >= late_scans.scan_time
                 ORDER BY f.scan_time LIMIT 1)
                UNION ALL
                (SELECT * FROM location_fixes f
                 WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
                   AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                   AND coalesce(f.accuracy, 0) <= max_accuracy_m AND f.scan_time > since
                   AND f.scan_time <= late_scans.scan_time
                 ORDER BY f.scan_time DESC LIMIT 1)
                UNION ALL
                (SELECT * FROM location_fixes f
                 WHERE f.player_id = late_scans.player_id AND f.submitter_id = late_scans.submitter_id
                   AND (fixes_of_org IS NULL OR f.org_id = fixes_of_org)
                   AND coalesce(f.accuracy, 0) <= max_accuracy_m AND f.scan_time > since
                   AND f.scan_time >= late_scans.scan_time
                 ORDER BY f.scan_time LIMIT 1)
            ) fix
        )
        SELECT json_agg(json_build_array(id, player_id, scan_time, latitude, longitude, accuracy, received_at, org_id,
                                         api_key_id))
        FROM fixes);
END $$;

-- The activity around each scan whose organization has fair-play rules, as far as these rules look: [scan, players at
-- identical coordinates, scans of the player before and after, scans of the code before and after].
CREATE FUNCTION judged_activity(scans player_scans[]) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    RETURN (
        SELECT json_agg(json_build_array(
            s.id,
            ARRAY(
                SELECT DISTINCT other.player_id FROM player_scans other
                WHERE other.compare_coordinates AND other.latitude = s.latitude AND other.longitude = s.longitude
                  AND other.scan_time > s.scan_time - identical.size AND other.scan_time < s.scan_time + identical.size
                  AND other.player_id <> s.player_id AND other.org_id = q.org_id AND other.status IN ('success', 'held')
                  AND (other.api_key_id IS NULL) = (s.api_key_id IS NULL)
                LIMIT identical.players),
            (SELECT count(*) FROM (
                SELECT FROM player_scans other
                WHERE other.player_id = s.player_id AND other.org_id = q.org_id AND other.status IN ('success', 'held')
                  AND other.scan_time > s.scan_time - burst.size AND other.scan_time <= s.scan_time
                LIMIT burst.per_player) player_before),
            (SELECT count(*) FROM (
                SELECT FROM player_scans other
                WHERE other.player_id = s.player_id AND other.org_id = q.org_id AND other.status IN ('success', 'held')
                  AND other.scan_time >= s.scan_time AND other.scan_time < s.scan_time + burst.size
                LIMIT burst.per_player) player_after),
            (SELECT count(*) FROM (
                SELECT FROM player_scans other
                WHERE other.qr_code_id = s.qr_code_id AND other.status IN ('success', 'held')
                  AND other.scan_time > s.scan_time - burst.size AND other.scan_time <= s.scan_time
                LIMIT burst.per_code) code_before),
            (SELECT count(*) FROM (
                SELECT FROM player_scans other
                WHERE other.qr_code_id = s.qr_code_id AND other.status IN ('success', 'held')
                  AND other.scan_time >= s.scan_time AND other.scan_time < s.scan_time + burst.size
                LIMIT burst.per_code) code_after)))
        FROM unnest(scans) s
        JOIN qr_codes q ON q.id = s.qr_code_id
        JOIN organizations o ON o.id = q.org_id AND o.fair_play IS NOT NULL
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (o.fair_play #>> '{identical_coordinates,window_seconds}')::float) AS size,
                   coalesce((o.fair_play #>> '{identical_coordinates,players}')::integer, 0) AS players
        ) identical
        CROSS JOIN LATERAL (
            SELECT make_interval(secs => (o.fair_play #>> '{burst,window_seconds}')::float) AS size,
                   coalesce((o.fair_play #>> '{burst,per_player}')::integer, 0) AS per_player,
                   coalesce((o.fair_play #>> '{burst,per_code}')::integer, 0) AS per_code
        ) burst);
END $$;

-- Return everything that judging these scans looks at, besides the scans. `quests`: whether they can advance a quest.
CREATE FUNCTION judging_context(scans player_scans[], max_accuracy_m double precision, online_delay interval,
                                fixes_of_org uuid) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    code_ids uuid[] := ARRAY(SELECT DISTINCT s.qr_code_id FROM unnest(scans) s WHERE s.qr_code_id IS NOT NULL);
    org_ids uuid[] := ARRAY(SELECT DISTINCT q.org_id FROM qr_codes q WHERE q.id = ANY (code_ids));
    fair_play json := (
        SELECT json_agg(json_build_array(o.id, o.fair_play)) FROM organizations o
        WHERE o.id = ANY (org_ids) AND o.fair_play IS NOT NULL);
BEGIN
    RETURN json_build_object(
        'codes', (SELECT json_agg(c) FROM judged_codes c WHERE c.id = ANY (code_ids)),
        'usages', judged_usages(scans),
        'fixes', judged_fixes(scans, max_accuracy_m, online_delay, fixes_of_org),
        'fair_play', fair_play,
        'activity', CASE WHEN fair_play IS NOT NULL THEN judged_activity(scans) END,
        'quests', EXISTS (SELECT FROM quests q WHERE q.active AND q.org_id = ANY (org_ids)));
END $$;

-- Lock these scans, then their players, organizations and codes, until the transaction ends. Return the ids of those
-- that are still leased under this token and not postponed, and the context of judging them, which is valid until then.
CREATE FUNCTION lock_and_read_scans(ids uuid[], token uuid, max_accuracy_m double precision, online_delay interval)
    RETURNS json LANGUAGE plpgsql SET lock_timeout = '5s' SET plan_cache_mode = 'force_generic_plan'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    held uuid[] := lock_leased_scans(ids, token);
    scans player_scans[] := ARRAY(SELECT s FROM player_scans s WHERE s.id = ANY (held));
    code_ids uuid[] := ARRAY(SELECT DISTINCT s.qr_code_id FROM unnest(scans) s WHERE s.qr_code_id IS NOT NULL);
    postponed uuid[];
BEGIN
    PERFORM lock_players(ARRAY(SELECT DISTINCT s.player_id FROM unnest(scans) s));
    IF EXISTS (SELECT FROM unnest(scans) s WHERE s.client_sent_at IS NOT NULL) THEN
        postponed := postpone_scans(scans);
        scans := ARRAY(SELECT s FROM unnest(scans) s WHERE s.id <> ALL (postponed));
        held := ARRAY(SELECT s.id FROM unnest(scans) s);
    END IF;
    PERFORM lock_fair_play_organizations(code_ids);
    PERFORM lock_limited_codes(code_ids);
    RETURN json_build_object('held', held, 'context', judging_context(scans, max_accuracy_m, online_delay, NULL));
END $$;

-- Settling ------------------------------------------------------------------------------------------------------------

-- Enter the rewards of these scans in the ledger. A second entry for one scan violates `inventory_ledger_source_key`.
CREATE FUNCTION grant_rewards(scan_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT s.player_id, s.org_id, s.outcome ->> 'reward', (s.outcome -> 'quantity')::integer, 'scan', s.id
        FROM player_scans s WHERE s.id = ANY (scan_ids) AND s.status = 'success' AND s.outcome ? 'reward';
END $$;

-- Start the time to answer the puzzles of these scans, which staff have released.
CREATE FUNCTION open_puzzles(scan_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE encounter_attempts SET closes_at = statement_timestamp() + answer_within
        WHERE scan_id = ANY (scan_ids) AND closes_at IS NULL;
END $$;

-- Set each player's location to the destination of their last scan in this order.
CREATE FUNCTION move_players(scan_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE players p SET location_code = arrivals.code
        FROM (
            SELECT DISTINCT ON (s.player_id) s.player_id, s.outcome #>> '{destination,code}' AS code
            FROM unnest(scan_ids) WITH ORDINALITY AS scan_order (id, position) JOIN player_scans s USING (id)
            WHERE s.status = 'success' AND s.outcome ? 'destination'
            ORDER BY s.player_id, scan_order.position DESC
        ) arrivals
        WHERE p.id = arrivals.player_id;
END $$;

-- False if a code is used beyond its stock. The lock of `lock_limited_codes` prevents that, except for a code whose
-- stock was set or lowered after the lock.
CREATE FUNCTION is_in_stock(uses bigint, use_count bigint, max_scans bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT uses <= 0 OR max_scans IS NULL OR use_count <= max_scans
$$;

-- Add to the use counts of these codes, or subtract. Call it last before the commit: other transactions wait here for a
-- popular code. The locks on codes with a stock come first: `lock_limited_codes` has taken them before.
CREATE FUNCTION add_uses(code_ids uuid[], added bigint[], beyond_stock boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    all_in_stock boolean;
BEGIN
    WITH locked_codes AS (
        SELECT q.id, u.uses FROM unnest(code_ids, added) u (id, uses) JOIN qr_codes q USING (id)
        ORDER BY q.max_scans IS NULL, q.id FOR NO KEY UPDATE OF q
    ), updated_codes AS (
        UPDATE qr_codes q SET use_count = q.use_count + l.uses FROM locked_codes l WHERE q.id = l.id
        RETURNING l.uses, q.use_count, q.max_scans
    )
    SELECT bool_and(is_in_stock(c.uses, c.use_count, c.max_scans)) INTO all_in_stock FROM updated_codes c;
    IF NOT (all_in_stock OR beyond_stock) THEN
        RAISE EXCEPTION 'a code has less stock than when its scans were judged'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'qr_codes_stock';
    END IF;
END $$;

-- Append the verdicts of these scans to the event log, in this order. `previous_status` is the status that a review has
-- changed. Organizations read these events too, so they hold only what the player may know.
CREATE FUNCTION append_verdict_events(scan_ids uuid[], previous_status text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (type, player_id, org_id, data)
        SELECT new_events.type, CASE WHEN NOT s.outside_history THEN s.player_id END, s.org_id,
               new_events.data || rewards.reward
        FROM unnest(scan_ids) WITH ORDINALITY AS scan_order (id, position)
        JOIN player_scans s USING (id)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.status = 'success' AND s.outcome ? 'reward' THEN s.outcome ELSE '{}' END
        ) rewards (reward)
        CROSS JOIN LATERAL (
            SELECT 1, 'scan_result', jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', s.qr_code, 'status', s.status, 'reason', s.reason,
                'previous_status', previous_status))
            UNION ALL
            SELECT 2, 'reward_granted', jsonb_build_object('scan_id', s.id) WHERE rewards.reward <> '{}'
        ) new_events (turn, type, data)
        ORDER BY scan_order.position, new_events.turn;
END $$;

-- Write the verdicts of pending scans with their rewards, moves, events and uses, in the order of the scans. Return the
-- time of the verdicts.
CREATE FUNCTION settle_scans(verdicts jsonb, code_ids uuid[], uses bigint[]) RETURNS timestamptz LANGUAGE plpgsql
    SET plan_cache_mode = 'force_generic_plan'
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    scan_ids uuid[] := ARRAY(
        SELECT (v ->> 'id')::uuid FROM jsonb_array_elements(verdicts) WITH ORDINALITY AS elements (v, position)
        ORDER BY position);
BEGIN
    UPDATE player_scans s
        SET status = v.status, reason = v.reason, distance_m = v.distance_m, outcome = v.outcome,
            decision_inputs = v.decision_inputs, compare_coordinates = v.compare_coordinates,
            settled_at = statement_timestamp(), lease_token = NULL
        FROM jsonb_to_recordset(verdicts) AS v (id uuid, status text, reason text, distance_m double precision,
                                                outcome jsonb, decision_inputs jsonb, compare_coordinates boolean)
        WHERE s.id = v.id AND s.status = 'pending';
    IF verdicts @? '$[*].outcome.reward' THEN
        PERFORM grant_rewards(scan_ids);
    END IF;
    IF verdicts @? '$[*].outcome.destination' THEN
        PERFORM move_players(scan_ids);
    END IF;
    IF verdicts @? '$[*].puzzle' THEN
        INSERT INTO encounter_attempts (scan_id, player_id, encounter_id, max_attempts, reward_item, reward_quantity,
                                        solution_digest, answer_within, closes_at)
            SELECT s.id, s.player_id, p.encounter_id, p.max_attempts, p.reward, p.quantity,
                   decode(p.solution_digest, 'hex'), answer.within,
                   CASE WHEN s.status = 'success' THEN s.settled_at + answer.within END
            FROM jsonb_to_recordset(verdicts) AS v (id uuid, puzzle jsonb)
            JOIN player_scans s USING (id)
            CROSS JOIN LATERAL jsonb_to_record(v.puzzle) AS p (
                encounter_id uuid, max_attempts integer, reward text, quantity integer, solution_digest text,
                answer_within_hours double precision)
            CROSS JOIN LATERAL (SELECT make_interval(secs => p.answer_within_hours * 3600) AS within) answer
            WHERE v.puzzle IS NOT NULL;
    END IF;
    PERFORM append_verdict_events(scan_ids, NULL);
    IF code_ids <> '{}' THEN
        PERFORM add_uses(code_ids, uses);
    END IF;
    RETURN statement_timestamp();
END $$;

-- Generated codes -----------------------------------------------------------------------------------------------------

-- The row is the request. Its images are in a table of their own.
CREATE TABLE generated_codes (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    created_by        uuid REFERENCES players ON DELETE SET NULL,  -- null: the request was anonymous
    data              text NOT NULL CONSTRAINT generated_codes_data CHECK (octet_length(data) BETWEEN 1 AND 2953),
    format            text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    size              integer NOT NULL CHECK (size BETWEEN 100 AND 2000),
    error_correction  text NOT NULL CHECK (error_correction IN ('L', 'M', 'Q', 'H')),
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz,  -- null: never
    status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'ready', 'failed')),
    last_error        text,  -- of the last attempt, for operators
    lease_token       uuid,
    lease_until       timestamptz,
    attempts          smallint NOT NULL DEFAULT 0,
    CONSTRAINT generated_codes_error_required CHECK (status <> 'failed' OR last_error IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX generated_codes_pending ON generated_codes (id) WHERE status = 'pending';
CREATE INDEX generated_codes_expiry ON generated_codes (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX generated_codes_created_by ON generated_codes (created_by) WHERE created_by IS NOT NULL;

-- Separate from the request, so a claim does not copy images.
CREATE TABLE generated_images (
    code_id  uuid NOT NULL REFERENCES generated_codes ON DELETE CASCADE,
    format   text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    digest   text NOT NULL,  -- of everything that determines the image: its ETag
    data     bytea NOT NULL,
    PRIMARY KEY (code_id, format)
);

-- Purged codes: a request for one of them gets 410, not 404.
CREATE TABLE generated_tombstones (
    id          uuid PRIMARY KEY,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX generated_tombstones_age ON generated_tombstones (expires_at);

-- Imports -------------------------------------------------------------------------------------------------------------

-- Many codes from one list or file: all or none, unless `partial`.
CREATE TABLE imports (
    id                   uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id               uuid NOT NULL REFERENCES organizations,
    partial              boolean NOT NULL,
    dry_run              boolean NOT NULL DEFAULT false,  -- rows are checked, and no code is created
    columns              text[] NOT NULL DEFAULT '{}',  -- of the file, in its order
    status               text NOT NULL DEFAULT 'queued'
                         CHECK (status IN ('queued', 'running', 'done', 'checked', 'failed')),
    total                integer NOT NULL DEFAULT 0 CHECK (total BETWEEN 0 AND 100000),
    validated_rows       integer NOT NULL DEFAULT 0,
    last_validated_line  integer NOT NULL DEFAULT 0,  -- the next worker continues after it
    done                 integer NOT NULL DEFAULT 0,  -- codes created
    failed               integer NOT NULL DEFAULT 0,  -- invalid rows
    message              text,  -- why no code was or would be created
    outcomes             jsonb NOT NULL DEFAULT '[]',  -- of the first rows of a finished import, failures first
    last_error           text,  -- of the last attempt, for operators
    lease_token          uuid,
    lease_until          timestamptz,
    attempts             smallint NOT NULL DEFAULT 0,  -- since the last progress
    claimed_at           timestamptz,  -- last: organizations take turns
    created_at           timestamptz NOT NULL DEFAULT now(),
    finished_at          timestamptz,
    CONSTRAINT imports_finished CHECK ((status IN ('done', 'checked', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT imports_dry_run CHECK (status <> 'checked' OR (dry_run AND done = 0)),
    CONSTRAINT imports_message_required CHECK (status <> 'failed' OR message IS NOT NULL),
    CONSTRAINT imports_counts CHECK (done + failed <= total AND validated_rows <= total)
);
CREATE INDEX imports_open ON imports (org_id, id) WHERE finished_at IS NULL;
CREATE INDEX imports_leased ON imports (org_id) WHERE lease_token IS NOT NULL;
CREATE INDEX imports_turns ON imports (org_id, claimed_at);
CREATE INDEX imports_age ON imports (finished_at) WHERE finished_at IS NOT NULL;

-- The rows of a file, as they are in the file. Deleted when the import finishes.
CREATE TABLE import_rows (
    import_id  uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    line       integer NOT NULL,  -- of the file, where the row starts
    cells      text[] NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- Validated rows: each is a code to create, or an error. Deleted when the import finishes.
CREATE TABLE import_candidates (
    import_id         uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    line              integer NOT NULL,
    id                uuid NOT NULL,  -- of the future code: creating it twice fails
    code              text,
    destination_code  text,
    definition        jsonb,  -- by the columns of qr_codes
    encounter         jsonb,  -- by the columns of encounters
    field             text,
    message           text,  -- null: the row is valid
    warnings          text[] NOT NULL DEFAULT '{}',
    is_generated      boolean NOT NULL DEFAULT false,  -- its code text, which another may replace
    PRIMARY KEY (import_id, line),
    CONSTRAINT import_candidates_validated CHECK (message IS NOT NULL OR (code IS NOT NULL AND definition IS NOT NULL))
);
CREATE INDEX import_candidates_errors ON import_candidates (import_id, line) WHERE message IS NOT NULL;

-- Renders -------------------------------------------------------------------------------------------------------------

-- The marker in the directory for files. A process that does not find it has another directory than the others.
CREATE TABLE file_storages (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    marker       uuid NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);

-- Sheets of labels of an organization, in millimeters. A render stores the measures that it was requested with.
CREATE TABLE label_templates (
    id               uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id           uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    page_width_mm    double precision NOT NULL CHECK (page_width_mm BETWEEN 20 AND 500),
    page_height_mm   double precision NOT NULL CHECK (page_height_mm BETWEEN 20 AND 500),
    left_margin_mm   double precision NOT NULL CHECK (left_margin_mm BETWEEN 0 AND 500),
    top_margin_mm    double precision NOT NULL CHECK (top_margin_mm BETWEEN 0 AND 500),
    columns          smallint NOT NULL CHECK (columns BETWEEN 1 AND 200),
    rows             smallint NOT NULL CHECK (rows BETWEEN 1 AND 200),
    label_width_mm   double precision NOT NULL CHECK (label_width_mm BETWEEN 10 AND 500),
    label_height_mm  double precision NOT NULL CHECK (label_height_mm BETWEEN 10 AND 500),
    column_pitch_mm  double precision NOT NULL CHECK (column_pitch_mm BETWEEN 0 AND 500),
    row_pitch_mm     double precision NOT NULL CHECK (row_pitch_mm BETWEEN 0 AND 500),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT label_templates_name_key UNIQUE (org_id, name),
    CONSTRAINT label_templates_count CHECK (columns * rows <= 200),
    CONSTRAINT label_templates_on_page CHECK (
        left_margin_mm + (columns - 1) * column_pitch_mm + label_width_mm <= page_width_mm + 0.01
        AND top_margin_mm + (rows - 1) * row_pitch_mm + label_height_mm <= page_height_mm + 0.01),
    CONSTRAINT label_templates_apart CHECK (
        (columns = 1 OR column_pitch_mm >= label_width_mm - 0.01) AND (rows = 1 OR row_pitch_mm >= label_height_mm - 0.01))
);

-- A bulk render: the row is the request and its result. The work is in its chunks.
CREATE TABLE render_jobs (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    requested_by      uuid REFERENCES players ON DELETE SET NULL,
    output            text NOT NULL CHECK (output IN ('zip', 'label_sheet')),
    format            text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    size              integer NOT NULL CHECK (size BETWEEN 100 AND 2000),
    error_correction  text NOT NULL CHECK (error_correction IN ('L', 'M', 'Q', 'H')),
    template          text,  -- name of a label sheet's template
    sheet             jsonb CHECK (jsonb_typeof(sheet) = 'object'),  -- its measures then: a later change has no effect
    caption           text CHECK (caption IN ('description', 'code', 'none')),
    start_at          smallint CHECK (start_at >= 1),  -- the first label of the first sheet with a code
    total             integer NOT NULL CONSTRAINT render_jobs_total CHECK (total BETWEEN 1 AND 100000),
    -- Progress: the sums over its chunks. The transaction that changes a chunk changes them as well.
    done_codes        integer NOT NULL DEFAULT 0,
    failed_codes      integer NOT NULL DEFAULT 0,
    open_chunks       integer NOT NULL,  -- chunks that are pending
    created_at        timestamptz NOT NULL DEFAULT now(),
    status            text NOT NULL DEFAULT 'queued'
                      CHECK (status IN ('queued', 'running', 'done', 'failed', 'canceled')),
    reason            text,  -- why it failed
    finished_at       timestamptz,
    file_name         text,  -- in the file storage
    file_bytes        bigint,
    expires_at        timestamptz,  -- of the file
    -- The assembly of the parts is leased like a chunk.
    lease_token       uuid,
    lease_until       timestamptz,
    attempts          smallint NOT NULL DEFAULT 0,
    claimed_at        timestamptz,  -- last: organizations take turns
    last_error        text,  -- of the last attempt, for operators
    storage_failures  smallint NOT NULL DEFAULT 0,
    CONSTRAINT render_jobs_counts CHECK (
        done_codes >= 0 AND failed_codes >= 0 AND done_codes + failed_codes <= total AND open_chunks >= 0),
    CONSTRAINT render_jobs_label_complete CHECK (
        num_nonnulls(template, sheet, caption, start_at) = CASE output WHEN 'label_sheet' THEN 4 ELSE 0 END),
    CONSTRAINT render_jobs_finished CHECK ((status IN ('queued', 'running')) = (finished_at IS NULL)),
    CONSTRAINT render_jobs_file_complete CHECK (
        (status = 'done') = (file_name IS NOT NULL) AND (file_name IS NULL) = (file_bytes IS NULL)
        AND (file_name IS NULL) = (expires_at IS NULL)),
    CONSTRAINT render_jobs_reason_required CHECK (status <> 'failed' OR reason IS NOT NULL)
) WITH (fillfactor = 85);  -- progress changes often: leaves room for HOT updates
CREATE INDEX render_jobs_org ON render_jobs (org_id, id);
CREATE INDEX render_jobs_pending ON render_jobs (org_id, id) WHERE status = 'running';
CREATE INDEX render_jobs_leased ON render_jobs (org_id) WHERE lease_token IS NOT NULL;
CREATE INDEX render_jobs_turns ON render_jobs (org_id, claimed_at);
CREATE INDEX render_jobs_open ON render_jobs (org_id) WHERE finished_at IS NULL;
CREATE INDEX render_jobs_age ON render_jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE render_chunks (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,  -- of the job
    job_id            uuid NOT NULL REFERENCES render_jobs ON DELETE CASCADE,
    number            integer NOT NULL CHECK (number >= 0),
    first_index       integer NOT NULL,  -- of its first code among all codes of the job
    qr_ids            uuid[] NOT NULL,  -- fixed when the job is created: a new code does not join it
    status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'canceled')),
    done              integer NOT NULL DEFAULT 0,
    failed            integer NOT NULL DEFAULT 0,
    errors            jsonb NOT NULL DEFAULT '[]',
    part_name         text,  -- in the file storage
    lease_token       uuid,
    lease_until       timestamptz,
    attempts          smallint NOT NULL DEFAULT 0,
    claimed_at        timestamptz,  -- last: organizations take turns
    last_error        text,  -- of the last attempt, for operators
    storage_failures  smallint NOT NULL DEFAULT 0,
    current_index     integer,  -- the image in progress, once this chunk crashed a worker
    crash_indexes     integer[] NOT NULL DEFAULT '{}',  -- the images that were in progress at a crash
    UNIQUE (job_id, number),
    CONSTRAINT render_chunks_complete CHECK (
        status <> 'done' OR (part_name IS NOT NULL AND done + failed = cardinality(qr_ids)))
) WITH (fillfactor = 85);
-- Of an organization, the first chunks of all jobs precede any second chunk: a small job does not wait for a large one.
CREATE INDEX render_chunks_pending ON render_chunks (org_id, number, job_id) WHERE status = 'pending';
CREATE INDEX render_chunks_leased ON render_chunks (org_id) WHERE lease_token IS NOT NULL;
CREATE INDEX render_chunks_turns ON render_chunks (org_id, claimed_at);

-- Quests --------------------------------------------------------------------------------------------------------------

-- The catalog: quests and their rewards.
CREATE TABLE rewards (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- int32 in gRPC messages
    -- Quests of the operator can share a reward by its name. Null: the reward of one quest, which has the quest's name.
    name      text CONSTRAINT rewards_name_key UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    item      text NOT NULL CHECK (length(item) BETWEEN 1 AND 100),
    quantity  integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000000)
);

CREATE TABLE quests (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text COLLATE "C" NOT NULL CONSTRAINT quests_name_key UNIQUE
                    CHECK (name ~ '^[a-z0-9](-?[a-z0-9])*$' AND length(name) <= 100
                           AND name NOT IN ('new', 'simulate')),
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    streak          integer NOT NULL CHECK (streak BETWEEN 1 AND 10000),
    duplication     integer NOT NULL CHECK (duplication BETWEEN 1 AND 1000000),
    auto_claim      boolean NOT NULL DEFAULT false,
    reward_id       integer REFERENCES rewards,
    daily           boolean NOT NULL DEFAULT false,  -- one step per day, in the player's time zone
    grace_days      smallint NOT NULL DEFAULT 0 CHECK (grace_days BETWEEN 0 AND 30),  -- that may pass without a step
    min_interval_seconds  integer NOT NULL DEFAULT 0 CHECK (min_interval_seconds BETWEEN 0 AND 2678400),
    -- The columns below belong to quests that scans advance. Such a quest names codes or tags.
    codes           text[] NOT NULL DEFAULT '{}',
    tags            text[] NOT NULL DEFAULT '{}',
    in_order        boolean NOT NULL DEFAULT false,
    within_seconds  integer CHECK (within_seconds >= 1),  -- from the first to the last scan of a completion
    org_id          uuid REFERENCES organizations ON DELETE CASCADE,  -- the owner of the codes
    managed_by      text NOT NULL DEFAULT 'operator' CHECK (managed_by IN ('operator', 'organization')),
    active          boolean NOT NULL DEFAULT false,  -- whether scans advance it
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    by_scans        boolean GENERATED ALWAYS AS (cardinality(codes) + cardinality(tags) > 0) STORED,
    CONSTRAINT quests_codes_or_tags CHECK (codes = '{}' OR tags = '{}'),
    CONSTRAINT quests_active_needs_organization CHECK (NOT active OR (by_scans AND org_id IS NOT NULL)),
    CONSTRAINT quests_managed_by_organization CHECK (managed_by = 'operator' OR org_id IS NOT NULL),
    CONSTRAINT quests_scan_options CHECK (by_scans OR (NOT in_order AND within_seconds IS NULL AND org_id IS NULL)),
    CONSTRAINT quests_daily_unordered CHECK (NOT daily OR (NOT in_order AND within_seconds IS NULL)),
    CONSTRAINT quests_grace_days_daily CHECK (daily OR grace_days = 0),
    CONSTRAINT quests_ordered_streak CHECK (NOT in_order OR streak = cardinality(codes) + cardinality(tags)),
    CONSTRAINT quests_streak_within_codes CHECK (codes = '{}' OR daily OR in_order OR streak <= cardinality(codes))
);
CREATE INDEX quests_active ON quests (org_id) WHERE active;
CREATE INDEX quests_organization ON quests (org_id, name) WHERE org_id IS NOT NULL;

-- Progress. Events are authoritative and never purged; a state is the fold of its events. The player of an event is a
-- foreign key of the state that is written with it.
CREATE TABLE quest_events (
    player_id  uuid NOT NULL,
    quest      text COLLATE "C" NOT NULL,  -- the sort order of Python, in which a replay pages
    version    integer NOT NULL CHECK (version >= 1),  -- 1, 2, 3 … for one player and quest
    id         uuid NOT NULL,  -- version 7: the order of all events of one player
    type       text NOT NULL,
    data       jsonb NOT NULL,
    scan_id    uuid,
    at         timestamptz NOT NULL,
    CONSTRAINT quest_events_pkey PRIMARY KEY (player_id, quest, version)
);
CREATE INDEX quest_events_player ON quest_events (player_id, id);
CREATE INDEX quest_events_completed ON quest_events (quest, at) WHERE type = 'quest_completed';
CREATE UNIQUE INDEX quest_events_scan_key ON quest_events (scan_id, quest) WHERE scan_id IS NOT NULL;

CREATE TABLE quest_states (
    player_id       uuid NOT NULL REFERENCES players,
    quest           text COLLATE "C" NOT NULL,
    version         integer NOT NULL,  -- of the last event folded in: a writer names the version it has read
    progress        integer NOT NULL,
    completions     integer NOT NULL,
    claims          integer NOT NULL,
    steps           jsonb NOT NULL,
    last_step_at    timestamptz,  -- of a daily quest, or one with a minimum interval
    last_action_at  timestamptz,  -- when the newest scan was made, or the newest action in a daily quest
    last_zone       text,  -- the time zone of the player then, in a daily quest
    CONSTRAINT quest_states_pkey PRIMARY KEY (player_id, quest)
) WITH (fillfactor = 85);
-- For the counts of one quest. It has no column that a step changes, so steps remain heap-only updates.
CREATE INDEX quest_states_quest ON quest_states (quest);

CREATE TABLE quest_claims (
    id          uuid PRIMARY KEY,  -- the ledger's source_id
    player_id   uuid NOT NULL,
    quest       text NOT NULL,
    completion  integer NOT NULL CHECK (completion >= 1),
    org_id      uuid,  -- the issuer, as in the ledger
    item        text NOT NULL,
    quantity    integer NOT NULL CHECK (quantity >= 1),
    at          timestamptz NOT NULL,
    revoked_at  timestamptz
);
-- A completion is claimed once. It can be claimed again only if an annulled scan revoked the claim.
CREATE UNIQUE INDEX quest_claims_completion_key ON quest_claims (player_id, quest, completion)
    WHERE revoked_at IS NULL;
CREATE INDEX quest_claims_quest ON quest_claims (quest, at) WHERE revoked_at IS NULL;

-- How far a replay has come: it continues here after an interruption.
CREATE TABLE quest_replay_checkpoints (
    name         text PRIMARY KEY,
    player_id    uuid NOT NULL,
    quest        text NOT NULL,
    events       bigint NOT NULL,
    states       bigint NOT NULL,
    differences  bigint NOT NULL,
    digests      bytea[] NOT NULL,  -- of the folded and of the stored states
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Visits --------------------------------------------------------------------------------------------------------------

-- Requests to /s/{code}, without the visitor's identity.
CREATE TABLE visits (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    qr_code_id    uuid NOT NULL,
    at            timestamptz NOT NULL,
    device        text NOT NULL CHECK (device IN ('phone', 'tablet', 'desktop', 'other', 'bot')),
    is_rolled_up  boolean NOT NULL DEFAULT false
);
CREATE INDEX visits_qr_code ON visits (qr_code_id, at);
CREATE INDEX visits_unaggregated ON visits (id) WHERE NOT is_rolled_up;

-- Days whose visits were purged. A rebuild keeps the rollups of these days.
CREATE TABLE visit_purges (
    purged_before  date PRIMARY KEY
);

-- Rollups -------------------------------------------------------------------------------------------------------------

-- A subject is a code or an organization: each scan counts for both. Buckets have 15 minutes, because the days of every
-- time zone start at a bucket. Reasons and devices are counted per day; players once per day, and once for all time.
CREATE TABLE scan_rollup_15m (
    subject_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    count       integer NOT NULL,
    success     integer NOT NULL,
    PRIMARY KEY (subject_id, at)
) WITH (fillfactor = 80);  -- the newest buckets change with every batch: leaves room for HOT updates

CREATE TABLE scan_rollup_daily (
    subject_id      uuid NOT NULL,
    day             date NOT NULL,
    count           integer NOT NULL,
    success         integer NOT NULL,
    held            integer NOT NULL,
    annulled        integer NOT NULL,
    unique_players  integer NOT NULL,
    phone           integer NOT NULL,
    tablet          integer NOT NULL,
    desktop         integer NOT NULL,
    other           integer NOT NULL,
    first_at        timestamptz,  -- null: all scans were too late, and their times are not trusted
    last_at         timestamptz,
    PRIMARY KEY (subject_id, day)
) WITH (fillfactor = 80);

CREATE TABLE scan_rollup_daily_reasons (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    reason      text NOT NULL,
    count       integer NOT NULL,
    PRIMARY KEY (subject_id, day, reason)
) WITH (fillfactor = 80);

CREATE TABLE scan_daily_players (
    subject_id  uuid NOT NULL,
    day         date NOT NULL,
    player_id   uuid NOT NULL,
    PRIMARY KEY (subject_id, day, player_id)
);

CREATE TABLE scan_all_time_players (
    subject_id  uuid NOT NULL,
    player_id   uuid NOT NULL,
    PRIMARY KEY (subject_id, player_id)
);

CREATE TABLE visit_rollup_15m (
    subject_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    count       integer NOT NULL,
    PRIMARY KEY (subject_id, at)
) WITH (fillfactor = 80);

CREATE TABLE visit_rollup_daily (
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

-- The names of an organization's cached statistics contain its version. A change of the counts sets a new version in
-- the same transaction, so older entries are never read. Versions are random: a restored backup repeats none.
CREATE TABLE statistics_cache_versions (
    org_id   uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    version  uuid NOT NULL DEFAULT gen_random_uuid()
);

-- Idempotency ---------------------------------------------------------------------------------------------------------

-- The first response to a POST that creates, committed in the transaction that creates.
CREATE TABLE idempotency_keys (
    caller_id         uuid NOT NULL,
    key               text NOT NULL,
    player_id         uuid,  -- whose data the response contains
    request_digest    bytea NOT NULL,  -- of the route and the body
    response_status   smallint NOT NULL,
    response_headers  jsonb NOT NULL,
    response_body     text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
-- An erasure finds the responses with a player's data, also those to requests of other callers.
CREATE INDEX idempotency_keys_player ON idempotency_keys (player_id) WHERE player_id IS NOT NULL;

-- Operations ----------------------------------------------------------------------------------------------------------

-- The oldest revision whose code can use this schema. A migration that removes what older code needs raises it. Older
-- processes are then not ready.
CREATE TABLE schema_floor (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    code      integer NOT NULL
);
INSERT INTO schema_floor (code) VALUES (1);

-- The open work of each queue, and the age of its oldest row. Autoscalers, metrics and the command line read it. Each
-- count is one range of a partial index, and counts up to its limit. A render counts once for each pending chunk, and
-- once more for the file that is assembled from them.
CREATE VIEW backlog AS
    SELECT 'scans' AS queue, count(*) AS waiting,
           coalesce(extract(epoch FROM now() - min(received_at)), 0)::double precision AS oldest_seconds
    FROM (SELECT received_at FROM player_scans WHERE status = 'pending' ORDER BY id LIMIT 100000) scans
    UNION ALL
    SELECT 'images', count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision
    FROM (SELECT created_at FROM generated_codes WHERE status = 'pending' ORDER BY id LIMIT 10000) images
    UNION ALL
    SELECT 'renders', (SELECT count(*) FROM (SELECT FROM render_chunks WHERE status = 'pending' LIMIT 10000) chunks)
           + count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision
    FROM render_jobs WHERE finished_at IS NULL
    UNION ALL
    SELECT 'imports', count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision
    FROM imports WHERE finished_at IS NULL
    UNION ALL
    SELECT 'erasures', count(*), coalesce(extract(epoch FROM now() - min(started_at)), 0)::double precision
    FROM pending_erasures;

-- An autoscaler has a role of its own, which reads nothing else. The operator creates it.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'waymark_scaler') THEN
        GRANT SELECT ON backlog TO waymark_scaler;
    END IF;
END $$;

-- Backups, and drills that restored one. Monitoring reads the time of the newest backup that passed a drill.
CREATE TABLE operations_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    operation  text NOT NULL CHECK (operation IN ('backup', 'drill')),
    backup     text NOT NULL,  -- its name
    backup_at  timestamptz NOT NULL,  -- the time of its snapshot
    passed     boolean NOT NULL,
    detail     text NOT NULL DEFAULT ''
);
CREATE INDEX operations_log_backups ON operations_log (operation, backup_at);

-- The number of rows of each table of this schema, for the manifest of a backup.
CREATE FUNCTION count_rows() RETURNS TABLE (table_name text, row_count bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    FOR table_name IN
        SELECT c.relname FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY 1
    LOOP
        EXECUTE format('SELECT count(*) FROM %I', table_name) INTO row_count;
        RETURN NEXT;
    END LOOP;
END $$;
