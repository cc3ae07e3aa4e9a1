"""Statistics over HTTP are cached, and never older than a change of the codes."""

from typing import Any

import pytest
from flask import Flask

from shared.analytics import cache_versions, statistics, unaggregated
from shared.infra import cache
from shared.infra.db import Conn
from shared.infra.redis import client as redis_client
from tests.analytics.factories import rebuild_all, settle
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_org, make_player, submit_scan
from web.app import create_app

STATUSES = ("success", "success", "failure", "held", "annulled")
SCANS = {"total": 6, "success": 2, "failure": 1, "pending": 1, "held": 1, "annulled": 1}


def scan_all(conn: Conn, staff: Staff) -> None:
    """A scan of each status, of a code of the organization's; and one of another's."""
    code, player = make_code(conn, staff.org_id), make_player(conn)
    for status in STATUSES:
        settle(conn, player, code, status)
    submit_scan(conn, player, code)
    settle(conn, player, make_code(conn, make_org(conn)))


@pytest.fixture
def stats(client: Any, staff: Staff) -> Any:
    def ask(by: str = "analyst", client: Any = client) -> Any:
        answer = client.get(f"{staff.path}/stats", headers=staff[by].headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    return ask


def test_statistics_of_an_organization(conn: Conn, staff: Staff, stats: Any) -> None:
    scan_all(conn, staff)

    result = stats()

    assert result["as_of"].endswith("Z")
    assert {name: result[name] for name in ("codes", "scans")} == {"codes": 1, "scans": SCANS}
    assert result["cache"] == {
        "images": {"hits": 0, "misses": 0, "hit_ratio": None},
        "statistics": {"hits": 0, "misses": 1, "hit_ratio": 0.0},
    }


def test_statistics_are_cached_for_an_hour(conn: Conn, staff: Staff, stats: Any) -> None:
    first = stats()
    scan_all(conn, staff)

    again = [stats() for _ in range(3)]

    assert {result["as_of"] for result in again} == {first["as_of"]}
    assert again[-1]["scans"]["total"] == 0
    assert again[-1]["cache"]["statistics"] == {"hits": 3, "misses": 1, "hit_ratio": 0.75}


def test_incomplete_counts_are_cached_for_seconds(
    conn: Conn, staff: Staff, stats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many events are unaggregated, so they are not counted."""
    scan_all(conn, staff)
    with monkeypatch.context() as few:
        few.setattr(unaggregated, "MAX_UNAGGREGATED", 3)
        assert stats()["scans"]["success"] == 0
    (entry,) = redis_client().keys(f"*statistics:{staff.org_id}*")
    assert 0 < redis_client().ttl(entry) <= cache.SHORT_LIVED_TTL_SECONDS
    redis_client().delete(entry)
    assert stats()["scans"] == SCANS
    assert redis_client().ttl(entry) > cache.SHORT_LIVED_TTL_SECONDS


def test_a_change_of_codes_is_visible_in_every_process(client: Any, conn: Conn, staff: Staff, stats: Any) -> None:
    """Of two application instances, each sees the changes that the other confirmed."""
    other = create_app().test_client()
    assert stats(client=other)["codes"] == 0

    made = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json
    assert stats(client=other)["codes"] == 1
    before = stats(client=other)["as_of"]
    client.patch(f"{staff.codes}/{made['id']}", json={"active": False}, headers=staff.admin.headers)
    assert stats(client=other)["as_of"] > before
    client.delete(f"{staff.codes}/{made['id']}", headers=staff.admin.headers)
    assert stats(client=other)["codes"] == 0


def test_rebuilt_rollups_are_visible_at_once(conn: Conn, stats: Any) -> None:
    before = stats()["as_of"]
    rebuild_all(conn)
    assert stats()["as_of"] > before


def test_negative_control_without_a_new_version_statistics_are_stale(
    client: Any, staff: Staff, stats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_versions, "bump_version", lambda *_args: None)
    stats()
    client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers)

    assert stats()["codes"] == 0


def test_statistics_computed_before_a_change_are_not_served_after(
    client: Any, staff: Staff, stats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is committed after the statistics were computed, and before they are cached."""
    count = statistics.count_codes

    def overtaken(conn: Conn, org_id: Any) -> int:
        found = count(conn, org_id)
        monkeypatch.setattr(statistics, "count_codes", count)
        client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers)
        return found

    monkeypatch.setattr(statistics, "count_codes", overtaken)

    assert stats()["codes"] == 0
    assert stats()["codes"] == 1


def test_a_rolled_back_change_keeps_the_cache_version(client: Any, staff: Staff, stats: Any) -> None:
    client.post(staff.codes, json={"scan_type": "item_drop", "code": "spy123"}, headers=staff.admin.headers)
    before = stats()["as_of"]
    again = client.post(staff.codes, json={"scan_type": "item_drop", "code": "spy123"}, headers=staff.admin.headers)

    assert again.status_code == 409
    assert stats()["as_of"] == before


def test_each_organization_has_its_own_statistics(
    app: Flask, client: Any, conn: Conn, staff: Staff, stats: Any
) -> None:
    scan_all(conn, staff)
    stats()
    other = make_staff(app, conn)

    result = client.get(f"{other.path}/stats", headers=other.analyst.headers).json

    assert (result["codes"], result["scans"]["total"], result["cache"]["statistics"]["misses"]) == (0, 0, 1)


def test_scans_of_a_deleted_code_still_count(client: Any, conn: Conn, staff: Staff, stats: Any) -> None:
    scan_all(conn, staff)
    for code in client.get(staff.codes, headers=staff.admin.headers).json["items"]:
        client.delete(f"{staff.codes}/{code['id']}", headers=staff.admin.headers)

    result = stats()

    assert (result["codes"], result["scans"]) == (0, SCANS)


def test_without_redis_statistics_are_computed_each_time(
    conn: Conn, staff: Staff, stats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.infra.cache._query", lambda _question: None)
    stats()
    scan_all(conn, staff)

    result = stats()

    assert result["scans"] == SCANS
    assert result["cache"] is None
