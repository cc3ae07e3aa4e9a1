"""Redemption over HTTP: token, confirmation, undo, lists, items."""

import csv
import re
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import resvg_py
import zxingcpp
from flask import Flask
from PIL import Image

from shared.infra.db import Conn
from tests.redemptions.factories import (
    COFFEE,
    add_token,
    ask,
    balances,
    confirm,
    grant,
    redeem,
    redeemed,
    token_of,
    undo,
)
from tests.support.callers import SignedInPlayer, Staff, make_key, make_staff, sign_in
from tests.support.factories import make_code
from workers.cleanup import purge_all

TEN = datetime(2026, 2, 12, 10, tzinfo=UTC)
FORMULA = '=HYPERLINK("https://evil.example")'


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn, "ada")


def read_svg(svg: str) -> str:
    image = Image.open(BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg))), formats=["PNG"])
    (barcode,) = zxingcpp.read_barcodes(np.asarray(image.convert("L")))
    return str(barcode.text)


class TestToken:
    def test_it_is_the_text_of_its_image_and_stored_as_a_digest(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id)

        response = ask(client, ada)

        assert response.status_code == 201
        assert (response.json["expires_in"], response.json["org_id"]) == (60, str(staff.org_id))
        token = response.json["token"]
        assert read_svg(response.json["qr_svg"]) == token
        stored = conn.execute("SELECT t::text, expires_at - now() FROM redemption_tokens t").fetchall()
        assert len(stored) == 1
        assert token not in stored[0][0]
        assert 55 < stored[0][1].total_seconds() <= 60
        assert balances(conn, ada.id) == (1, 0)

    def test_it_is_refused_without_balance_or_issuer(
        self, app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        museum = make_staff(app, conn)
        grant(conn, ada.id, None, item="badge")
        grant(conn, ada.id, staff.org_id)
        grant(conn, ada.id, museum.org_id, item="map")

        assert ask(client, ada, "tea").status_code == 409
        assert ask(client, ada, quantity=2).json["detail"] == (
            "Your balance is too low: you have 1 of coffee and requested 2."
        )
        assert "no organization issued them" in ask(client, ada, "badge").json["detail"]
        assert ask(client, ada, "map", org_id=str(staff.org_id)).status_code == 409
        assert ask(client, ada, org_id=str(uuid4())).status_code == 409
        for quantity in (0, -1, 1.5, 1_000_001):
            assert ask(client, ada, quantity=quantity).status_code == 422
        key = make_key(conn, staff.org_id)
        assert client.post("/redemptions/token", json={"item": COFFEE}, headers=key.headers).status_code == 403
        assert conn.execute("SELECT count(*) FROM redemption_tokens").fetchone() == (0,)

    def test_an_item_of_two_organizations_needs_org_id(
        self, app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        other = make_staff(app, conn)
        for issuer in (staff, other):
            grant(conn, ada.id, issuer.org_id)

        response = ask(client, ada)
        token = token_of(client, ada, org_id=str(other.org_id))

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "body.org_id"
        assert str(other.org_id) in response.json["detail"]
        assert confirm(client, staff, token).status_code == 404
        assert confirm(client, other, token).status_code == 201

    def test_a_closed_organization_redeems_nothing(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        key = make_key(conn, staff.org_id)
        grant(conn, ada.id, staff.org_id)
        token = token_of(client, ada)
        conn.execute("UPDATE organizations SET closed_at = now()")

        assert ask(client, ada).status_code == 410
        assert confirm(client, staff, token).status_code == 410
        assert confirm(client, staff, token, key).status_code == 401
        assert balances(conn, ada.id) == (1, 0)

    def test_its_player_learns_what_became_of_it(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id, 2)
        used, other = token_of(client, ada), token_of(client, ada)

        def status(token: str, by: SignedInPlayer = ada) -> Any:
            return client.post("/redemptions/token/status", json={"token": token}, headers=by.headers)

        assert status(used).json == {"status": "valid", "balance": 2}
        redemption = confirm(client, staff, used).json
        assert status(used).json == {"status": "redeemed", "balance": 1}
        assert status(other.lower()).json == {"status": "valid", "balance": 1}
        undo(client, staff, redemption["id"])
        conn.execute("UPDATE redemption_tokens SET expires_at = now()")
        assert status(used).json == {"status": "redeemed", "balance": 2}
        assert status(other).json == {"status": "expired", "balance": 2}
        assert status("7Z3K9QF2M8XW4CVB").status_code == 404
        assert status(other, staff.member).status_code == 404

    def test_a_retry_with_its_key_returns_the_same_token(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id)
        headers = ada.headers | {"Idempotency-Key": "1"}

        first, again = (client.post("/redemptions/token", json={"item": COFFEE}, headers=headers) for _ in range(2))

        assert first.json == again.json
        assert first.json["token"] not in str(conn.execute("SELECT * FROM idempotency_keys").fetchall())

    def test_cleanup_deletes_tokens_a_day_after_they_expired(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id)
        old, used = token_of(client, ada), token_of(client, ada)
        assert confirm(client, staff, used).status_code == 201
        conn.execute("UPDATE redemption_tokens SET expires_at = now() - interval '25 hours'")
        add_token(conn, ada.id, staff.org_id)

        assert purge_all().redemption_tokens == 2

        assert confirm(client, staff, old).status_code == 404
        assert confirm(client, staff, used).status_code == 409
        assert conn.execute("SELECT count(*) FROM redemption_tokens").fetchone() == (1,)


class TestConfirmation:
    def test_it_takes_the_item_and_records_it(self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
        grant(conn, ada.id, staff.org_id, 3)

        response = confirm(client, staff, token_of(client, ada, quantity=2))

        assert response.status_code == 201
        body = response.json
        assert (body["player_id"], body["item"], body["quantity"], body["balance"]) == (str(ada.id), COFFEE, 2, 1)
        assert (body["counter"]["kind"], body["counter"]["id"]) == ("member", str(staff.admin.id))
        assert client.get(f"/player/{ada.id}/inventory", headers=ada.headers).json["items"][0]["quantity"] == 1
        (event,) = conn.execute("SELECT type, player_id, org_id, data FROM events").fetchall()
        paid = {"redemption_id": body["id"], "reward": COFFEE, "quantity": 2, "org_id": str(staff.org_id), "balance": 1}
        assert event == ("reward_redeemed", ada.id, staff.org_id, paid)
        entry = conn.execute("SELECT action, object_id, new FROM audit_log").fetchone()
        fields = {"player_id": str(ada.id), "item": COFFEE, "quantity": 2}
        assert entry == ("redemption.created", body["id"], fields)
        assert redeemed(conn, staff.org_id) == 2

    def test_the_second_attempt_states_when_and_where_the_first_was(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id, 5)
        key = make_key(conn, staff.org_id, "redeem")
        token = token_of(client, ada)
        first = confirm(client, staff, token, key).json

        again = confirm(client, staff, token)

        assert again.status_code == 409
        assert again.json["detail"] == f"Already redeemed at {first['at']}, by Kiosk."
        assert again.json["redemption"]["id"] == first["id"]
        assert again.json["redemption"]["counter"] == {"kind": "key", "id": str(key.id), "name": "Kiosk"}
        assert undo(client, staff, first["id"], key).status_code == 200
        assert confirm(client, staff, token).json["detail"].endswith("by Kiosk, and undone since.")
        assert balances(conn, ada.id) == (5, 0)

    def test_a_retry_with_its_key_is_not_a_second_attempt(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id)
        body = {"token": token_of(client, ada)}
        headers = staff.admin.headers | {"Idempotency-Key": "1"}

        first, again = (client.post(f"{staff.path}/redemptions", json=body, headers=headers) for _ in range(2))

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json == again.json
        assert balances(conn, ada.id) == (0, 0)

    def test_an_expired_or_unknown_token_takes_nothing(
        self, app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        other = make_staff(app, conn)
        grant(conn, ada.id, staff.org_id)
        token = token_of(client, ada)
        assert confirm(client, other, token).status_code == 404
        conn.execute("UPDATE redemption_tokens SET expires_at = now()")

        expired = confirm(client, staff, token)

        assert expired.status_code == 410
        assert expired.json["detail"] == "This token has expired. Ask the player to create a new one."
        assert confirm(client, staff, "nonsense").status_code == 404
        assert confirm(client, staff, "").status_code == 422
        assert balances(conn, ada.id) == (1, 0)

    def test_two_tokens_for_one_item_redeem_it_once(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id)
        first, second = token_of(client, ada), token_of(client, ada)

        assert confirm(client, staff, first).status_code == 201
        refused = confirm(client, staff, second)

        assert (refused.status_code, balances(conn, ada.id)) == (409, (0, 0))
        assert redeemed(conn, staff.org_id) == 1
        grant(conn, ada.id, staff.org_id)
        assert confirm(client, staff, second).status_code == 201


class TestUndo:
    def test_it_returns_the_item_once_to_its_counter(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id, 2)
        key = make_key(conn, staff.org_id, "redeem")
        redemption_id = confirm(client, staff, token_of(client, ada), key).json["id"]
        assert undo(client, staff, redemption_id).status_code == 403
        assert undo(client, staff, redemption_id, make_key(conn, staff.org_id)).status_code == 403

        undone = undo(client, staff, redemption_id, key)

        assert (undone.status_code, undone.json["balance"]) == (200, 2)
        assert undone.json["undone_at"]
        again = undo(client, staff, redemption_id, key)
        assert (again.status_code, "undone before" in again.json["detail"]) == (409, True)
        assert balances(conn, ada.id) == (2, 0)
        assert redeemed(conn, staff.org_id) == 0
        entries = conn.execute("SELECT quantity, source FROM inventory_ledger ORDER BY id").fetchall()
        assert entries[1:] == [(-1, "redemption"), (1, "redemption_undo")]
        types = conn.execute("SELECT type FROM events ORDER BY id").fetchall()
        assert types == [("reward_redeemed",), ("redemption_undone",)]

    def test_it_is_too_late_after_15_minutes(self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
        redemption_id = redeem(conn, ada.id, staff.org_id, staff.admin)
        conn.execute("UPDATE redemptions SET at = now() - interval '15 minutes 1 second'")

        response = undo(client, staff, redemption_id)

        assert response.status_code == 409
        assert "15 minutes" in response.json["detail"]
        assert balances(conn, ada.id) == (0, 0)


class TestItems:
    def test_stock_and_end_date_limit_what_is_redeemed(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id, 5)
        tokens = [token_of(client, ada) for _ in range(3)]
        path, headers = f"{staff.path}/items/{COFFEE}", staff.admin.headers
        limited = client.put(path, json={"stock": 1}, headers=headers)
        assert limited.json == {"item": COFFEE, "stock": 1, "expires_at": None, "redeemed": 0, "left": 1}

        assert confirm(client, staff, tokens[0]).status_code == 201
        sold_out = confirm(client, staff, tokens[1])
        assert (sold_out.status_code, "out of stock" in sold_out.json["detail"]) == (409, True)
        assert ask(client, ada).status_code == 409
        ended = {"stock": 9, "expires_at": "2026-02-12T10:00:00Z"}
        assert client.put(path, json=ended, headers=headers).json["left"] == 8
        late = confirm(client, staff, tokens[1])
        assert (late.status_code, "until 2026-02-12" in late.json["detail"]) == (409, True)
        assert ask(client, ada).status_code == 409
        assert client.put(path, json={}, headers=headers).json["stock"] is None
        assert confirm(client, staff, tokens[1]).status_code == 201

        assert balances(conn, ada.id) == (3, 0)
        actions = conn.execute("SELECT old, new FROM audit_log WHERE action = 'item.changed' ORDER BY id").fetchall()
        assert actions[0] == tuple({"item": COFFEE, "stock": stock, "expires_at": None} for stock in (None, 1))
        assert len(actions) == 3

    def test_the_list_has_given_limited_and_redeemed_items(
        self, app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        other = make_staff(app, conn)
        make_code(conn, staff.org_id, reward_item="gem")
        make_code(conn, other.org_id, reward_item="theirs")
        client.put(f"{staff.path}/items/tea/green", json={"stock": 7}, headers=staff.admin.headers)
        grant(conn, ada.id, staff.org_id)
        confirm(client, staff, token_of(client, ada))

        pages, cursor = [], ""
        while cursor is not None:
            page = client.get(f"{staff.path}/items?limit=2{cursor}", headers=staff.analyst.headers).json
            pages.append([(item["item"], item["stock"], item["redeemed"]) for item in page["items"]])
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"

        assert pages == [[(COFFEE, None, 1), ("gem", None, 0)], [("tea/green", 7, 0)]]

    def test_an_item_without_limits_and_redemptions_is_not_stored(self, client: Any, conn: Conn, staff: Staff) -> None:
        path = f"{staff.path}/items/tea"
        for body in ({"stock": 5}, {}, {"stock": None, "expires_at": None}):
            assert client.put(path, json=body, headers=staff.admin.headers).status_code == 200

        assert client.get(f"{staff.path}/items", headers=staff.analyst.headers).json["items"] == []
        assert conn.execute("SELECT count(*) FROM items").fetchone() == (0,)

    @pytest.mark.parametrize("body", [{"stock": -1}, {"stock": 1.5}, {"expires_at": "tomorrow"}, {"left": 1}])
    def test_invalid_limits_are_422(self, client: Any, staff: Staff, body: dict[str, Any]) -> None:
        assert client.put(f"{staff.path}/items/tea", json=body, headers=staff.admin.headers).status_code == 422


class TestLists:
    def test_list_csv_and_sums_agree_for_every_filter(
        self, app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        key, other = make_key(conn, staff.org_id), make_staff(app, conn)
        for number in range(7):
            redemption = redeem(
                conn, ada.id, staff.org_id, key if number % 2 else staff.admin, "tea" if number > 4 else FORMULA
            )
            conn.execute(
                "UPDATE redemptions SET at = %s WHERE id = %s", (TEN + timedelta(hours=number // 2), redemption)
            )
        redeem(conn, ada.id, other.org_id, other.admin)
        headers, rows = staff.analyst.headers, list[dict[str, str]]()

        for query, expected in {
            "": 7,
            "item=tea": 2,
            f"counter={key.id}": 3,
            f"counter={staff.admin.id}&item=tea": 1,
            f"counter={other.admin.id}": 0,
            "since=2026-02-12T11:00:00Z": 5,
            "until=2026-02-12T11:00:00Z": 2,
            "since=2026-02-12T11:00:00Z&until=2026-02-12T13:00:00Z": 4,
        }.items():
            listed, cursor = [], ""
            while cursor is not None:
                page = client.get(f"{staff.path}/redemptions?{query}&limit=2{cursor}", headers=headers).json
                listed += [item["id"] for item in page["items"]]
                cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
            text = client.get(f"{staff.path}/redemptions.csv?{query}&bom=true", headers=headers).text
            rows = list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))
            assert text.startswith("\ufeffat,counter,")
            assert [row["redemption_id"] for row in rows] == listed
            assert len(listed) == len(set(listed)) == expected

        assert {row["item"] for row in rows} == {f"'{FORMULA}", "tea"}
        assert "Kiosk" in {row["counter"] for row in rows}

    def test_sums_are_by_day_of_the_zone_counter_and_item(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        key = make_key(conn, staff.org_id)
        for by in (key, key, staff.admin):
            redeem(conn, ada.id, staff.org_id, by)
        undone = redeem(conn, ada.id, staff.org_id, key)
        conn.execute("UPDATE redemptions SET undone_at = now() WHERE id = %s", (undone,))
        path = f"{staff.path}/redemptions/daily"

        sums = client.get(f"{path}?period=7d", headers=staff.analyst.headers).json

        assert sorted(
            (day["counter"]["kind"], day["item"], day["redemptions"], day["quantity"]) for day in sums["data"]
        ) == [
            ("key", COFFEE, 2, 2),
            ("member", COFFEE, 1, 1),
        ]
        (row,) = conn.execute("SELECT max(at) AT TIME ZONE 'UTC' FROM redemptions").fetchall()
        assert {day["date"] for day in sums["data"]} == {row[0].date().isoformat()}
        assert client.get(f"{path}?tz=Nowhere", headers=staff.analyst.headers).status_code == 422

    @pytest.mark.parametrize("query", ["cursor=e30", "since=yesterday", "counter=ada", "counters=1", "limit=0"])
    def test_an_invalid_query_is_422(self, client: Any, staff: Staff, query: str) -> None:
        response = client.get(f"{staff.path}/redemptions?{query}", headers=staff.analyst.headers)
        assert response.status_code == 422
        assert re.match(r"query\.", response.json["errors"][0]["loc"])


class TestPreview:
    def test_it_names_player_and_balance_and_redeems_nothing(
        self, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
    ) -> None:
        grant(conn, ada.id, staff.org_id, 3)
        token = token_of(client, ada, quantity=2)

        previews = [preview(client, staff, token) for _ in range(2)]

        expected = {"player_id": str(ada.id), "username": "ada", "item": COFFEE, "quantity": 2, "balance": 3}
        assert [(response.status_code, response.json) for response in previews] == [(200, expected)] * 2
        assert confirm(client, staff, token).status_code == 201

    @pytest.mark.parametrize("problem", ["used", "expired", "unknown", "other organization", "balance", "stock"])
    def test_it_refuses_what_the_redemption_would_refuse(
        self, client: Any, app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer, problem: str
    ) -> None:
        issuer = make_staff(app, conn) if problem == "other organization" else staff
        grant(conn, ada.id, issuer.org_id)
        token = token_of(client, ada)
        match problem:
            case "used":
                confirm(client, staff, token)
            case "expired":
                conn.execute("UPDATE redemption_tokens SET expires_at = now()")
            case "unknown":
                token = "0" * 16
            case "balance":
                redeem(conn, ada.id, staff.org_id, staff.admin)
                conn.execute("UPDATE redemption_tokens SET quantity = 2")
            case "stock":
                path = f"{staff.path}/items/{COFFEE}"
                assert client.put(path, json={"stock": 0}, headers=staff.admin.headers).status_code == 200

        previewed, confirmed = preview(client, staff, token), confirm(client, staff, token)

        assert previewed.status_code == confirmed.status_code >= 400
        assert previewed.json["detail"] == confirmed.json["detail"]
        assert previewed.json.get("redemption") == confirmed.json.get("redemption")


def preview(client: Any, staff: Staff, token: str) -> Any:
    return client.post(f"{staff.path}/redemptions/preview", json={"token": token}, headers=staff.admin.headers)
