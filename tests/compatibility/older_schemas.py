"""The tables of the older services, with a few rows of each kind."""

SCAN_GAME = """
-- In place of PostGIS.
CREATE DOMAIN geography AS point;
CREATE DOMAIN geometry AS point;
CREATE FUNCTION ST_X(at geometry) RETURNS double precision LANGUAGE sql RETURN at[0];
CREATE FUNCTION ST_Y(at geometry) RETURNS double precision LANGUAGE sql RETURN at[1];
CREATE TABLE players (id uuid PRIMARY KEY, username varchar UNIQUE NOT NULL, password_hash varchar(256) NOT NULL,
    score int, level int, created_at timestamptz DEFAULT now());
CREATE TABLE qr_codes (id uuid PRIMARY KEY, code varchar UNIQUE NOT NULL, description varchar, scan_type varchar,
    location geography, requires_location boolean DEFAULT false);
CREATE TABLE encounters (id uuid PRIMARY KEY, qr_code_id uuid REFERENCES qr_codes, puzzle_type varchar,
    difficulty_level int, data jsonb);
CREATE TABLE player_scans (id uuid PRIMARY KEY, player_id uuid REFERENCES players, qr_code_id uuid REFERENCES qr_codes,
    scan_time timestamptz DEFAULT now(), success boolean DEFAULT true, latitude float, longitude float);
INSERT INTO players (id, username, password_hash) VALUES
    ('00000000-0000-4000-8000-000000000001', 'explorer_1x', '$2b$12$x'),
    ('00000000-0000-4000-8000-000000000002', 'a name with blanks', '$2b$12$x');
INSERT INTO qr_codes VALUES
    ('00000000-0000-4000-8000-000000000011', 'spy123', 'Behind the statue', 'item_drop', '(4.8926,52.3731)', true),
    ('00000000-0000-4000-8000-000000000012', 'vault', NULL, 'encounter', NULL, true),
    ('00000000-0000-4000-8000-000000000013', 'https://any.example/?a', NULL, 'item_drop', NULL, false);
INSERT INTO encounters VALUES
    ('00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000012', 'hacking', 12, NULL),
    ('00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000012', 'pattern', 1, '{}');
INSERT INTO player_scans VALUES
    ('00000000-0000-4000-8000-000000000031', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000011', '2025-05-01T10:00Z', true, 52.3731, 4.8926),
    ('00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000011', '2025-05-01T11:00Z', false, 52, NULL),
    ('00000000-0000-4000-8000-000000000033', '00000000-0000-4000-8000-000000000002',
     '00000000-0000-4000-8000-000000000011', '2025-05-01T12:00Z', true, NULL, NULL),
    ('00000000-0000-4000-8000-000000000034', '00000000-0000-4000-8000-000000000001',
     '00000000-0000-4000-8000-000000000013', '2025-05-01T12:00Z', true, NULL, NULL);
"""
GENERATOR = """
CREATE TABLE qr_codes (id varchar PRIMARY KEY, file_path varchar NOT NULL, original_data varchar NOT NULL,
    created_at timestamp, expires_at timestamp);
INSERT INTO qr_codes VALUES
    ('550e8400-e29b-41d4-a716-446655440000', '/app/qr_codes/1.png', 'https://example.com', now(), NULL),
    ('550e8400-e29b-41d4-a716-446655440001', '/app/qr_codes/2.png', 'soon',
     now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '30 minutes'),
    ('550e8400-e29b-41d4-a716-446655440002', '/app/qr_codes/3.png', 'over',
     now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' - interval '1 minute');
"""
ORGANIZATION_CODES = """
CREATE TABLE app_users (id uuid PRIMARY KEY, email text UNIQUE NOT NULL, created_at timestamptz DEFAULT now());
CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL, slug text UNIQUE NOT NULL, website_url text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE organization_members (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid, user_id uuid,
    role text NOT NULL);
CREATE TABLE qr_codes (id uuid PRIMARY KEY, organization_id uuid, code text UNIQUE NOT NULL, label text,
    target_type text DEFAULT 'organization', target_slug text, created_by uuid, is_active boolean DEFAULT true,
    created_at timestamptz DEFAULT now());
CREATE TABLE qr_events (id bigserial PRIMARY KEY, qr_code_id uuid, occurred_at timestamptz DEFAULT now(), ip_hash text,
    user_agent text);
CREATE TABLE qr_customization_settings (id uuid DEFAULT gen_random_uuid(), qr_code_id uuid UNIQUE,
    foreground_color text, background_color text, logo_url text, logo_size_percent int, style text,
    contrast_ratio decimal(4,2), is_valid boolean);
INSERT INTO app_users (id, email) VALUES ('00000000-0000-4000-8000-0000000000a1', 'ada@example.org'),
    ('10000000-0000-4000-8000-0000000000a2', 'grace@example.org');
INSERT INTO organizations (id, name, slug, website_url) VALUES
    ('00000000-0000-4000-8000-0000000000b1', 'Museum', 'museum', 'https://museum.example'),
    ('00000000-0000-4000-8000-0000000000b2', 'Shop', 'shop', NULL);
INSERT INTO organization_members (organization_id, user_id, role) VALUES
    ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'owner'),
    ('00000000-0000-4000-8000-0000000000b2', '00000000-0000-4000-8000-0000000000a1', 'owner'),
    ('00000000-0000-4000-8000-0000000000b1', '10000000-0000-4000-8000-0000000000a2', 'manager'),
    ('00000000-0000-4000-8000-0000000000b2', '10000000-0000-4000-8000-0000000000a2', 'viewer');
INSERT INTO qr_codes (id, organization_id, code, label, target_slug, is_active) VALUES
    ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', 'Xy_9-aBcD12', 'Door', 'museum',
     true),
    ('00000000-0000-4000-8000-0000000000c2', '00000000-0000-4000-8000-0000000000b2', 'Xy_9-aBcD13', NULL, NULL, true),
    ('00000000-0000-4000-8000-0000000000c3', '00000000-0000-4000-8000-0000000000b2', 'Xy_9-aBcD14', 'Old', NULL, false);
INSERT INTO qr_events (qr_code_id, user_agent) VALUES
    ('00000000-0000-4000-8000-0000000000c1', 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Safari'),
    ('00000000-0000-4000-8000-0000000000c1', 'Mozilla/5.0 (X11; Linux) Firefox'),
    ('00000000-0000-4000-8000-0000000000c1', 'WhatsApp link preview bot');
INSERT INTO qr_customization_settings
    (qr_code_id, foreground_color, background_color, logo_size_percent, style, contrast_ratio, is_valid) VALUES
    ('00000000-0000-4000-8000-0000000000c1', '#1B3A5C', '#FFFFFF', 20, 'dots', 11.5, true),
    ('00000000-0000-4000-8000-0000000000c2', '#CCCCCC', '#FFFFFF', 20, 'squares', 1.6, false);
"""
QUEST_SERVICES = """
CREATE TYPE userstatus AS ENUM ('NEW', 'NOT_NEW', 'BANNED');
CREATE TABLE users (user_id serial PRIMARY KEY, user_name varchar UNIQUE, hashed_password varchar, gold int,
    diamond int, status userstatus);
CREATE TABLE rewards (reward_id serial PRIMARY KEY, reward_name varchar, reward_item varchar, reward_qty int);
CREATE TABLE quests (quest_id serial PRIMARY KEY, reward_id int NOT NULL, auto_claim boolean, streak int,
    duplication int, name varchar, description varchar);
CREATE TABLE user_quests (user_id int, quest_id int, progress_streak int, status varchar, completion_count int,
    date timestamptz DEFAULT now(), PRIMARY KEY (user_id, quest_id));
CREATE TABLE user_rewards (id serial PRIMARY KEY, user_id int, reward_id int, reward_name varchar, reward_item varchar,
    reward_qty int, date timestamptz DEFAULT now());
INSERT INTO users (user_id, user_name, gold, diamond, status) VALUES
    (3, 'ada', 5, 0, 'NEW'), (4, 'grace', 0, 0, 'NOT_NEW'), (5, 'mallory', 900, 900, 'BANNED');
INSERT INTO rewards VALUES (1, 'Ten Diamonds', 'diamond', 10), (2, 'Welcome gold', 'gold', 20);
INSERT INTO quests VALUES (1, 1, false, 3, 2, 'sign-in-three-times', NULL), (2, 2, false, 1, 1, 'sign-up', 'Join');
INSERT INTO user_quests VALUES (3, 1, 2, 'NOT_CLAIMED', 1), (3, 2, 0, 'NOT_CLAIMED', 0), (4, 1, 0, 'CLAIMED', 2),
    (5, 1, 2, 'NOT_CLAIMED', 0);
INSERT INTO user_rewards (user_id, reward_id, reward_name, reward_item, reward_qty) VALUES
    (3, 1, 'Ten Diamonds', 'diamond', 10), (3, 1, 'Ten Diamonds', 'diamond', 10), (4, 1, 'Ten Diamonds', 'diamond', 10);
"""
