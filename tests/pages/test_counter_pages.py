"""Pages of progress, screens, redemptions, counter and simulator, as the server renders them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.redemptions import items
from shared.reviews import progress
from tests.pages.rendered_pages import EVIL, Open, page_opener, rows_of
from tests.redemptions.factories import redeem, undo
from tests.reviews.test_scan_list import insert
from tests.support.callers import Staff, make_staff
from tests.support.factories import AMSTERDAM, SIX_KILOMETERS_OFF, code_text, make_code, make_player
from tests.support.query_counts import collected_queries
from web.pages import progress as progress_pages
from web.pages import redemptions as redemption_pages

NOW = datetime.now(UTC)


@pytest.fixture
def open_page(app: Flask, conn: Conn, staff: Staff) -> Open:
    return page_opener(app, conn, staff)


# Progress --------------------------------------------------------------------------------------------


def test_progress_shows_players_and_codes(open_page: Open, conn: Conn, staff: Staff) -> None:
    ada, grace = make_player(conn, "ada"), make_player(conn, "grace")
    red, blue = (make_code(conn, staff.org_id, code=f"code-{tag}", tags=[tag]) for tag in ("red", "blue"))
    insert(conn, ada, red, NOW)
    insert(conn, ada, blue, NOW)
    insert(conn, grace, blue, NOW)
    insert(conn, grace, red, NOW, "held", "burst")

    listed = rows_of(open_page("/progress"))
    assert sorted(row.split(" 20")[0] for row in listed) == ["ada 2 of 2", "grace 1 of 2"]
    of_tag = open_page("/progress?of=tag:red")
    assert [row.split(" 20")[0] for row in rows_of(of_tag)] == ["ada 1 of 1"]
    assert "progress.csv?tag=red" in of_tag
    assert "No players yet." in open_page("/progress?of=tag:green&cursor=x")
    as_analyst = open_page("/progress", "analyst")
    assert f"…{str(ada)[-6:]}" in as_analyst
    assert "grace" not in as_analyst
    open_page("/progress?of=quest:of-others", "admin", 404)


def test_progress_of_too_many_codes_asks_for_a_tag(
    open_page: Open, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = make_player(conn, "ada")
    for number in range(3):
        insert(conn, player, make_code(conn, staff.org_id, code=f"code-{number}"), NOW)
    monkeypatch.setattr(progress_pages, "MAX_COLUMNS", 2)
    assert "Showing 2 of 3 codes." in open_page("/progress")
    assert "3 of 3" in open_page("/progress")
    monkeypatch.setattr(progress, "MAX_CODES", 2)
    assert "Choose a tag or a quest." in open_page("/progress")


# Screens ---------------------------------------------------------------------------------------------


def test_screens_and_their_codes(open_page: Open, client: Any, app: Flask, conn: Conn, staff: Staff) -> None:
    assert "No rotating codes yet." in open_page("/screens")
    make_code(conn, make_staff(app, conn).org_id, code="of-others", rotating=True)
    code = make_code(conn, staff.org_id, code="lobby", rotating=True, description=EVIL)
    make_code(conn, staff.org_id, code="ended", rotating=True, expires_at=NOW)
    make_code(conn, staff.org_id, code="still")
    empty = open_page("/screens")
    assert "No screens yet." in empty
    assert re.findall(r"<option [^>]*>([\w-]+)", empty) == ["lobby"]
    body, path = {"name": EVIL}, f"{staff.codes}/{code}/screens"
    made = client.post(path, json=body, headers=staff.admin.headers | {"Idempotency-Key": "k"}).json

    listed = open_page("/screens")

    assert ("<script>alert" in listed, made["url"] in listed) == (False, False)
    assert rows_of(listed)[0].split()[-2:] == ["ago", "Revoke"] or "Never" in rows_of(listed)[0]


# Redemptions and counter -----------------------------------------------------------------------------


def test_redemptions_by_day_and_item(open_page: Open, client: Any, conn: Conn, staff: Staff) -> None:
    ada = make_player(conn, "ada")
    assert "No redemptions in this period." in open_page("/redemptions")
    insert(conn, ada, make_code(conn, staff.org_id), NOW)
    redeem(conn, ada, staff.org_id, staff.admin)
    undone = redeem(conn, ada, staff.org_id, staff.admin, item="spy_gadget")
    undo(client, staff, undone)
    items.set_limits(conn, staff.org_id, "coffee", items.lock(conn, staff.org_id, "coffee").redeemed, NOW)

    text = open_page("/redemptions")

    assert "None left" in text
    assert "Ended" in text
    assert text.count("Undone") == 1
    assert "ada" in rows_of(text.split("Each redemption")[1])[0]
    of_item = open_page("/redemptions?item=coffee&period=7d&tz=Asia/Tokyo")
    assert "Undone" not in of_item
    assert "Days in Asia/Tokyo" in of_item
    assert "item=coffee" in of_item
    assert "ada" not in open_page("/redemptions?item=nothing&cursor=x&period=x").split("<tbody data-rows>")[0]


def test_sums_by_day_are_bounded_and_on_the_first_page_only(
    open_page: Open, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = make_player(conn, "ada")
    for item in ("coffee", "spy_gadget"):
        make_code(conn, staff.org_id, reward_item=item)
        redeem(conn, ada, staff.org_id, staff.admin, item=item)
    assert "the newest" not in open_page("/redemptions")
    monkeypatch.setattr(redemption_pages, "MAX_SUMS", 1)
    monkeypatch.setattr(redemption_pages, "ROWS", 1)

    text = open_page("/redemptions")

    assert "These are the newest 1 sums." in text
    sums, redemptions = text.split("Each redemption")
    assert sums.count('data-label="Day"') == 1
    assert "the newest" not in open_page("/redemptions?item=coffee")
    (further,) = re.findall(r'href="[^"?]*\?([^"]*cursor=[^"]*)"', redemptions)
    assert 'data-label="Day"' not in open_page("/redemptions?" + further.replace("&amp;", "&"))


def test_counter_offers_to_undo_what_the_caller_redeemed(
    open_page: Open, client: Any, conn: Conn, staff: Staff
) -> None:
    ada = make_player(conn, "ada")
    mine = redeem(conn, ada, staff.org_id, staff.admin)
    old = redeem(conn, ada, staff.org_id, staff.admin)
    theirs = redeem(conn, ada, staff.org_id, staff.owner)
    undone = redeem(conn, ada, staff.org_id, staff.admin)
    conn.execute("UPDATE redemptions SET at = now() - interval '16 minutes' WHERE id = %s", (old,))
    assert undo(client, staff, undone).status_code == 200

    text = open_page("/counter")

    assert [str(each) in text for each in (mine, old, theirs, undone)] == [True, False, False, False]


# Simulator -------------------------------------------------------------------------------------------


@pytest.fixture
def simulate(open_page: Open) -> Callable[..., str]:
    return lambda **values: open_page(f"/simulator?{urlencode(values)}")


def test_simulator_explains_the_verdict(simulate: Callable[..., str], conn: Conn, staff: Staff, app: Flask) -> None:
    code = code_text(conn, make_code(conn, staff.org_id, AMSTERDAM))
    player = make_player(conn, "ada")
    insert(conn, player, make_code(conn, staff.org_id), NOW - timedelta(days=9))
    here = {"player": "ADA", "code": code, "latitude": AMSTERDAM.latitude, "longitude": f"{AMSTERDAM.longitude}"}

    for values, words in (
        (here, '"status": "success"'),
        (here | {"latitude": "52,3731"}, '"status": "success"'),
        (here | {"latitude": SIX_KILOMETERS_OFF.latitude}, "not_present"),
        (here | {"latitude": "", "longitude": ""}, "location_required"),
        (here | {"accuracy": 900}, "better_location_needed"),
        (here | {"at": (NOW - timedelta(days=4)).strftime("%Y-%m-%dT%H:%M"), "offset": "-60"}, "too_late"),
        (here | {"code": f"https://any.example/s/{code}"}, '"status": "success"'),
        (here | {"code": code_text(conn, make_code(conn, make_staff(app, conn).org_id))}, "unknown_code"),
        (here | {"code": EVIL}, "unknown_code"),
    ):
        text = simulate(**values)
        assert words in text.replace("&#34;", '"'), values
        assert "<script>alert" not in text
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (1,), "nothing is saved"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"player": "stranger"}, "No member and no player"),
        ({"latitude": "91", "longitude": "1"}, "latitude from -90"),
        ({"latitude": "1"}, "latitude from -90"),
        ({"latitude": "nan", "longitude": "1"}, "latitude from -90"),
        ({"accuracy": "-1"}, "Enter the accuracy"),
        ({"at": "x"}, "Enter a date"),
        ({"at": "9999-12-31T23:59", "offset": "99999999999"}, "Enter a date"),
        ({"code": "\0"}, "code"),
    ],
)
def test_simulator_names_what_is_wrong(
    simulate: Callable[..., str], conn: Conn, values: dict[str, str], words: str
) -> None:
    make_player(conn, "stranger")

    assert words in simulate(**{"code": str(uuid4())} | values)


def test_pages_need_the_same_number_of_queries_for_many_rows(open_page: Open, conn: Conn, staff: Staff) -> None:
    counts = []
    for many in (1, 60):
        for _ in range(many):
            player, code = make_player(conn), make_code(conn, staff.org_id, rotating=True)
            insert(conn, player, code, NOW)
            redeem(conn, player, staff.org_id, staff.admin)
            conn.execute(
                "INSERT INTO code_screens (org_id, qr_code_id, name, token_digest) VALUES (%s, %s, 'x', sha256(%s))",
                (staff.org_id, code, uuid7().bytes),
            )
        with collected_queries() as queries:
            for path in ("/progress", "/screens", "/redemptions", "/counter"):
                open_page(path)
        counts.append(len(queries))
    assert counts[0] == counts[1]
