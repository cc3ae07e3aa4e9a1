"""SQL that counts: facts (an event, a settled scan, a visit) become deltas, and deltas are added to rollups.

Rollup, rebuild and the counts of unaggregated events use the same constants, so they cannot count differently.

- A scan counts once it is settled, at the time it happened, whatever its verdict.
- `success`, `held` and `annulled` follow what staff decide: a correction subtracts the old status and adds the new one.
- The reasons are those of failures, which are final.
- A scan that was too late counts at the time that its client reported. It is neither the first nor the last scan.
- A scan counts for its code and for the code's organization: its subjects. One without a code is not counted.
"""

from datetime import date

FIRST_DAY, END_DAY = date(2, 1, 1), date(9998, 1, 1)
"""The days that are counted, as in EVENT_FACTS. Every time zone can represent them. Only rows that were inserted by
hand are outside."""

EVENT_FACTS = """
    SELECT q.id AS code_id, q.org_id, s.player_id, s.scan_time, coalesce(s.device, 'other') AS device, s.reason,
           e.data ->> 'status' AS status, e.data ->> 'previous_status' AS previous_status
    FROM scan_events e
    JOIN player_scans s
        ON s.id = CASE WHEN e.data ->> 'scan_id' ~ '^[0-9a-f-]{36}$' THEN (e.data ->> 'scan_id')::uuid END
    JOIN qr_codes q ON q.id = s.qr_code_id
    WHERE e.type = 'scan_result' AND s.scan_time >= '0002-01-01Z' AND s.scan_time < '9998-01-01Z'
"""
"""The facts of `scan_events`. Columns that are not in the event come from the scan, where they never change after it is
settled."""

SCAN_DELTAS = """
    SELECT subject_id, player_id, scan_time, (scan_time AT TIME ZONE 'UTC')::date AS day,
           (previous_status IS NULL)::integer AS count,
           (status IS NOT DISTINCT FROM 'success')::integer
               - (previous_status IS NOT DISTINCT FROM 'success')::integer AS success,
           (status IS NOT DISTINCT FROM 'held')::integer
               - (previous_status IS NOT DISTINCT FROM 'held')::integer AS held,
           (status IS NOT DISTINCT FROM 'annulled')::integer
               - (previous_status IS NOT DISTINCT FROM 'annulled')::integer AS annulled,
           (previous_status IS NULL AND device = 'phone')::integer AS phone,
           (previous_status IS NULL AND device = 'tablet')::integer AS tablet,
           (previous_status IS NULL AND device = 'desktop')::integer AS desktop,
           (previous_status IS NULL AND device = 'other')::integer AS other,
           CASE WHEN previous_status IS NULL AND status = 'failure' THEN reason END AS reason,
           CASE WHEN reason IS DISTINCT FROM 'too_late' THEN scan_time END AS dated
    FROM facts CROSS JOIN LATERAL (VALUES (code_id), (org_id)) subjects (subject_id)
"""

VISIT_DELTAS = """
    SELECT subject_id, at, (at AT TIME ZONE 'UTC')::date AS day,
           (device <> 'bot')::integer AS count,
           (device = 'bot')::integer AS bots,
           (device = 'phone')::integer AS phone,
           (device = 'tablet')::integer AS tablet,
           (device = 'desktop')::integer AS desktop,
           (device = 'other')::integer AS other
    FROM new_visits JOIN qr_codes q ON q.id = qr_code_id
    CROSS JOIN LATERAL (VALUES (q.id), (q.org_id)) subjects (subject_id)
"""

ADD_SCANS = """
    buckets AS (
        INSERT INTO scan_rollup_15m AS r
        SELECT subject_id, date_bin('15 minutes', scan_time, 'epoch'::timestamptz), sum(count), sum(success)
        FROM deltas GROUP BY 1, 2
        ON CONFLICT (subject_id, at) DO UPDATE
        SET count = r.count + EXCLUDED.count, success = r.success + EXCLUDED.success
    ), reasons AS (
        INSERT INTO scan_rollup_daily_reasons AS r
        SELECT subject_id, day, reason, count(*) FROM deltas WHERE reason IS NOT NULL GROUP BY 1, 2, 3
        ON CONFLICT (subject_id, day, reason) DO UPDATE SET count = r.count + EXCLUDED.count
    ), new_daily_players AS (
        INSERT INTO scan_daily_players
        SELECT DISTINCT subject_id, day, player_id FROM deltas WHERE count > 0
        ON CONFLICT DO NOTHING
        RETURNING subject_id, day
    ), new_players AS (
        INSERT INTO scan_all_time_players
        SELECT DISTINCT subject_id, player_id FROM deltas WHERE count > 0
        ON CONFLICT DO NOTHING
    )
    INSERT INTO scan_rollup_daily AS r (subject_id, day, count, success, held, annulled, unique_players,
                                phone, tablet, desktop, other, first_at, last_at)
    SELECT subject_id, day, sum(count), sum(success), sum(held), sum(annulled), coalesce(max(n.unique_players), 0),
           sum(phone), sum(tablet), sum(desktop), sum(other), min(dated), max(dated)
    FROM deltas LEFT JOIN (SELECT subject_id, day, count(*) AS unique_players FROM new_daily_players GROUP BY 1, 2) n
        USING (subject_id, day)
    GROUP BY 1, 2
    ON CONFLICT (subject_id, day) DO UPDATE
    SET count = r.count + EXCLUDED.count, success = r.success + EXCLUDED.success, held = r.held + EXCLUDED.held,
        annulled = r.annulled + EXCLUDED.annulled, unique_players = r.unique_players + EXCLUDED.unique_players,
        phone = r.phone + EXCLUDED.phone, tablet = r.tablet + EXCLUDED.tablet,
        desktop = r.desktop + EXCLUDED.desktop, other = r.other + EXCLUDED.other,
        first_at = least(r.first_at, EXCLUDED.first_at), last_at = greatest(r.last_at, EXCLUDED.last_at)
"""
"""Adds `deltas` to the rollups: one upsert per row, independent of the number of scans in it."""

ADD_VISITS = """
    buckets AS (
        INSERT INTO visit_rollup_15m AS r
        SELECT subject_id, date_bin('15 minutes', at, 'epoch'::timestamptz), sum(count)
        FROM deltas GROUP BY 1, 2 HAVING sum(count) > 0
        ON CONFLICT (subject_id, at) DO UPDATE SET count = r.count + EXCLUDED.count
    )
    INSERT INTO visit_rollup_daily AS r (subject_id, day, count, bots, phone, tablet, desktop, other)
    SELECT subject_id, day, sum(count), sum(bots), sum(phone), sum(tablet), sum(desktop), sum(other)
    FROM deltas GROUP BY 1, 2
    ON CONFLICT (subject_id, day) DO UPDATE
    SET count = r.count + EXCLUDED.count, bots = r.bots + EXCLUDED.bots, phone = r.phone + EXCLUDED.phone,
        tablet = r.tablet + EXCLUDED.tablet, desktop = r.desktop + EXCLUDED.desktop, other = r.other + EXCLUDED.other
"""
