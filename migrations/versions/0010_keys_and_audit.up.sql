-- API keys: credentials of an organization, for its machines -----------------------------------------------------------

CREATE TABLE api_keys (
    id            uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    prefix        text NOT NULL UNIQUE CHECK (prefix ~ '^wm_[0-9a-f]{12}$'),  -- how the key begins: shown, and looked up by
    digest        bytea NOT NULL CHECK (octet_length(digest) = 32),  -- SHA-256 of the whole key
    scopes        text[] NOT NULL CHECK (
                      cardinality(scopes) > 0
                      AND scopes <@ ARRAY['scan', 'codes:read', 'codes:write', 'renders', 'analytics']),
    made_by       uuid REFERENCES players,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,  -- to a minute
    revoked_at    timestamptz  -- the row stays: scans and the audit trail name it
) WITH (fillfactor = 80);  -- last_used_at moves: room for HOT updates
CREATE INDEX api_keys_org ON api_keys (org_id, id) WHERE revoked_at IS NULL;

-- No foreign key: each scan would lock the row of its key, one for thousands, and keys are never deleted.
ALTER TABLE player_scans ADD COLUMN api_key_id uuid;  -- null: the player handed it in

-- The audit trail: who changed what, from where ------------------------------------------------------------------------

-- It outlives what it tells of, so nothing here is a foreign key.
CREATE TABLE audit_log (
    id          uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    at          timestamptz NOT NULL DEFAULT now(),
    org_id      uuid,  -- null: an account's
    actor       text NOT NULL CHECK (actor IN ('player', 'key', 'operator')),
    player_id   uuid,  -- the actor
    api_key_id  uuid,  -- the actor
    address     text,
    request_id  text,
    action      text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    object_id   text,
    old         jsonb,
    new         jsonb,
    CONSTRAINT audit_log_one_actor CHECK (
        (actor = 'player') = (player_id IS NOT NULL) AND (actor = 'key') = (api_key_id IS NOT NULL))
);
CREATE INDEX audit_log_org ON audit_log (org_id, id) WHERE org_id IS NOT NULL;
CREATE INDEX audit_log_object ON audit_log (object_id, id) WHERE object_id IS NOT NULL;
CREATE INDEX audit_log_player ON audit_log (player_id, id) WHERE player_id IS NOT NULL;

-- A line stays as it was written. Only what tells of a person who is erased may be blanked.
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
    RAISE EXCEPTION 'the audit trail is only added to' USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_log_stays';
END $$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION guard_audit_log();
