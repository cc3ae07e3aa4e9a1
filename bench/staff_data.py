"""An organization with 100 thousand codes and one million scans of a year, and the rest that its pages show.

The first codes have the most scans. Each player has 200 scans. Every tenth code is inactive, every thousandth rotates.
"""

from psycopg import ClientCursor

from shared.infra.db import Conn

SCANS_PER_PLAYER = 200
GAME = 300
"""Codes of the tag `game`, whose progress is shown. As many have the tag `rare`: those with the fewest scans."""
NEW_EVENTS = 1_000
"""Verdicts that each count adds to the rollups, as those of the last seconds."""


def seed(conn: Conn, *, codes: int, scans: int) -> None:
    """Insert all rows. Nothing waits for the disk, and no trigger counts scans: the rollups are computed at the end."""
    cursor = ClientCursor(conn)
    conn.execute("SET synchronous_commit = off")
    conn.execute("SET work_mem = '256MB'")
    conn.execute("SET maintenance_work_mem = '256MB'")
    players = max(60, scans // SCANS_PER_PLAYER)
    sizes = {"codes": codes, "scans": scans, "players": players, "game": GAME, "new_events": NEW_EVENTS}
    for statements in (PEOPLE, CODES, SCANS, ROLLUPS, OTHERS):
        cursor.execute(statements, sizes)
    conn.execute("VACUUM ANALYZE")


PEOPLE = """
    INSERT INTO players (username) SELECT 'bench' || n FROM generate_series(0, %(players)s - 1) n;
    INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench');
    INSERT INTO sessions (id, player_id, expires_at)
        SELECT waymark_uuid7(), id, now() + interval '1 day' FROM players WHERE username = 'bench0';
    INSERT INTO memberships (org_id, player_id, role)
        SELECT o.id, p.id, CASE p.username WHEN 'bench0' THEN 'owner' ELSE 'member' END
        FROM organizations o, players p ORDER BY p.id LIMIT 500;
"""
CODES = """
    INSERT INTO qr_codes (org_id, code, description, scan_type, requires_location, latitude, longitude, reward_item,
                          reward_quantity, active, rotating, tags)
        SELECT o.id, 'bench' || n, 'Lamp post ' || n || ' on street ' || n %% 997,
               CASE WHEN n %% 5 = 0 THEN 'transportation' ELSE 'item_drop' END, true,
               50.8 + (n * 37 %% 2700) / 1000.0, 3.4 + (n * 101 %% 3700) / 1000.0, 'gem', 1, n %% 10 <> 9,
               n %% 1000 = 1,
               ARRAY['zone' || n %% 50] || CASE WHEN n < %(game)s THEN '{game}'
                                                WHEN n >= %(codes)s - %(game)s THEN '{rare}' ELSE '{}'::text[] END
        FROM organizations o, generate_series(0, %(codes)s - 1) n;
    INSERT INTO code_screens (org_id, qr_code_id, name, token_digest)
        SELECT org_id, id, 'Entrance', sha256(id::text::bytea) FROM qr_codes WHERE rotating;
    ANALYZE players, qr_codes;
"""
SCANS = """
    SET session_replication_role = replica;
    ALTER TABLE encounter_attempts SET UNLOGGED;
    ALTER TABLE player_scans SET UNLOGGED;
    CREATE TEMPORARY TABLE numbered_players AS SELECT row_number() OVER () - 1 AS n, id FROM players;
    CREATE TEMPORARY TABLE numbered_codes AS
        SELECT substr(code, 6)::integer AS n, id, org_id, code, latitude, longitude FROM qr_codes;
    ANALYZE numbered_players, numbered_codes;
    INSERT INTO player_scans (id, player_id, qr_code_id, org_id, qr_code, latitude, longitude, accuracy, scan_time,
                              received_at, status, success, reason, device, settled_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(k), 12, '0'))::uuid, p.id, q.id, q.org_id, q.code,
               q.latitude, q.longitude, 5, times.at, times.at, verdicts.status,
               CASE verdicts.status WHEN 'success' THEN true WHEN 'failure' THEN false END, verdicts.reason,
               (ARRAY['phone', 'phone', 'phone', 'tablet', 'desktop'])[(1 + k %% 5)::integer], times.at
        FROM generate_series(0::bigint, %(scans)s - 1) k
        CROSS JOIN LATERAL (SELECT now() - make_interval(secs => (%(scans)s - k) * 31.5e6 / %(scans)s)) times (at)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN k %% 20 = 0 THEN 'held' WHEN k %% 7 = 0 THEN 'failure' ELSE 'success' END,
                   CASE WHEN k %% 20 = 0 THEN 'impossible_travel' WHEN k %% 7 = 0 THEN 'not_present' END
        ) verdicts (status, reason)
        JOIN numbered_players p ON p.n = k * 7919 %% %(players)s
        JOIN numbered_codes q ON q.n = floor(power((k * 104729 %% 1000003) / 1000003.0, 2) * %(codes)s);
    SET session_replication_role = origin;
    ANALYZE player_scans;
"""
ROLLUPS = """
    CREATE TEMPORARY TABLE counted AS
        SELECT subjects.id AS subject_id, scan_time, (scan_time AT TIME ZONE 'UTC')::date AS day, player_id, status,
               reason, device
        FROM player_scans s CROSS JOIN LATERAL (VALUES (s.qr_code_id), (s.org_id)) subjects (id);
    INSERT INTO scan_rollup_15m
        SELECT subject_id, date_bin('15 minutes', scan_time, 'epoch'::timestamptz), count(*),
               count(*) FILTER (WHERE status = 'success')
        FROM counted GROUP BY 1, 2;
    INSERT INTO scan_rollup_daily
        SELECT subject_id, day, count(*), count(*) FILTER (WHERE status = 'success'),
               count(*) FILTER (WHERE status = 'held'), 0, count(DISTINCT player_id),
               count(*) FILTER (WHERE device = 'phone'), count(*) FILTER (WHERE device = 'tablet'),
               count(*) FILTER (WHERE device = 'desktop'), 0, min(scan_time), max(scan_time)
        FROM counted GROUP BY 1, 2;
    INSERT INTO scan_rollup_daily_reasons
        SELECT subject_id, day, reason, count(*) FROM counted WHERE reason IS NOT NULL GROUP BY 1, 2, 3;
    INSERT INTO scan_daily_players SELECT DISTINCT subject_id, day, player_id FROM counted;
    INSERT INTO scan_all_time_players SELECT DISTINCT subject_id, player_id FROM counted;
    DROP TABLE counted;
"""
OTHERS = """
    INSERT INTO events (type, org_id, data)
        SELECT 'scan_result', org_id, jsonb_build_object('scan_id', id, 'status', status)
        FROM (SELECT id, org_id, status FROM player_scans ORDER BY id DESC LIMIT %(new_events)s) scans;
    INSERT INTO api_keys (org_id, name, prefix, digest, scopes)
        SELECT o.id, 'Kiosk ' || n, 'wm_' || substr(md5(n::text), 1, 12), sha256(n::text::bytea), '{scan}'
        FROM organizations o, generate_series(1, 200) n;
    INSERT INTO audit_log (org_id, actor_kind, player_id, action, object_id, old, new)
        SELECT q.org_id, 'player', p.id, 'code.changed', q.id, '{"active": true}', '{"active": false}'
        FROM qr_codes q, players p WHERE p.username = 'bench0';
    INSERT INTO render_jobs (org_id, requested_by, output, format, size, error_correction, total, done_codes,
                             open_chunks, status, finished_at, file_name, file_bytes, expires_at)
        SELECT o.id, p.id, 'zip', 'png', 300, 'M', 500, 500, 0, 'done', now(), 'file' || n, 100000, now()
        FROM organizations o, players p, generate_series(1, 5000) n WHERE p.username = 'bench0';
    INSERT INTO quests (name, description, streak, duplication, org_id, managed_by, active, tags)
        SELECT 'quest-' || n, 'Quest ' || n, 3, 1, o.id, 'organization', true, ARRAY['zone' || n %% 50]
        FROM organizations o, generate_series(1, 200) n;
    INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps)
        SELECT p.id, q.name, 1, 1, 2, 1, '[]' FROM players p, quests q WHERE q.id %% 10 = 1;
    INSERT INTO items (org_id, item, stock, redeemed)
        SELECT o.id, 'item' || n, 100000, 1000 FROM organizations o, generate_series(1, 50) n;
    INSERT INTO redemptions (id, token_digest, player_id, org_id, item, quantity, confirmed_by, at)
        SELECT waymark_uuid7(), sha256(n::text::bytea), p.id, p.org_id, 'item' || 1 + n %% 50, 1, p.player_id,
               now() - make_interval(secs => n * 300)
        FROM generate_series(1, 100000) n
        CROSS JOIN (SELECT p.id, p.id AS player_id, o.id AS org_id FROM players p, organizations o
                    WHERE p.username = 'bench0') p;
"""
