"""Quests of an organization over HTTP: create, change, activate, complete, claim and delete, as JSON and YAML."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from shared.infra.db import Conn
from shared.quests import definitions, organization_quests, yaml_loader, yaml_writer
from shared.quests.definitions import QuestDefinition
from shared.quests.rewards import RewardDefinition
from tests.quests.conftest import Settings
from tests.quests.scan_quests import annul, assert_in_order, make_landmarks, make_quest, read_live_events, visit
from tests.support.callers import SignedInPlayer, Staff, make_staff
from tests.support.command_line import error_of, waymark
from tests.support.factories import list_items, make_code
from workers.catalog_server import load_default_quests

TRAIL = {
    "name": "harbor-trail",
    "description": "Visit three landmarks.",
    "streak": 3,
    "tags": ["landmark"],
    "reward": {"item": "badge", "quantity": 2},
}
YAML = {"Content-Type": "application/yaml"}
CLAIM = {"quest_name": "harbor-trail"}


def create(client: Any, staff: Staff, **fields: Any) -> Any:
    return client.post(f"{staff.path}/quests", json=TRAIL | fields, headers=staff.admin.headers)


def change(client: Any, staff: Staff, name: str = "harbor-trail", **fields: Any) -> Any:
    return client.patch(f"{staff.path}/quests/{name}", json=fields, headers=staff.admin.headers)


def get(client: Any, staff: Staff, path: str = "/harbor-trail", **headers: str) -> Any:
    return client.get(f"{staff.path}/quests{path}", headers=staff.admin.headers | headers)


def test_quest_is_created_activated_completed_and_claimed(
    client: Any, our_catalog: str, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    codes = make_landmarks(conn, staff.org_id, 4)
    created = create(client, staff)
    assert created.status_code == 201
    assert created.headers["Location"] == f"{staff.path}/quests/harbor-trail"
    assert {name: created.json[name] for name in created.json if not name.endswith("_at")} == TRAIL | {
        "org_id": str(staff.org_id),
        "managed_by": "organization",
        "codes": [],
        "duplication": 1,
        "daily": False,
        "grace_days": 0,
        "in_order": False,
        "within_seconds": None,
        "min_interval_seconds": 0,
        "auto_claim": False,
        "active": False,
        "players_in_progress": 0,
        "completions": 0,
        "claims": 0,
    }
    visit(conn, ada.id, codes[0])
    assert client.get("/api/v1/quests?limit=1", headers=ada.headers).json["items"][0]["name"] != "harbor-trail"
    assert change(client, staff, active=True).json["active"] is True

    for code in codes[1:3]:
        visit(conn, ada.id, code)
    listed = client.get("/api/v1/quests", headers=ada.headers).json["items"][0]
    name = conn.execute("SELECT name FROM organizations WHERE id = %s", (staff.org_id,)).fetchone()
    assert (listed["name"], listed["progress"], listed["org_id"]) == ("harbor-trail", 2, str(staff.org_id))
    assert (listed["organization"],) == name
    assert get(client, staff).json["players_in_progress"] == 1
    visit(conn, ada.id, codes[3])

    claimed = [client.post("/api/v1/track/claim_reward", json=CLAIM, headers=ada.headers) for _ in range(2)]
    assert [response.status_code for response in claimed] == [200, 409]
    assert claimed[0].json["reward"] == {"item": "badge", "qty": 2, "org_id": str(staff.org_id)}
    (item,) = [
        item
        for item in client.get(f"/player/{ada.id}/inventory", headers=ada.headers).json["items"]
        if item["item"] == "badge"
    ]
    assert (item["quantity"], item["org_id"]) == (2, str(staff.org_id))
    assert [type_ for type_, _ in read_live_events(conn, ada.id)] == [
        *["quest_progress"] * 3,
        "quest_completed",
        "reward_granted",
    ]
    quest = get(client, staff).json
    assert (quest["players_in_progress"], quest["completions"], quest["claims"]) == (0, 1, 1)
    now, names = datetime.now(UTC), ["harbor-trail", "another"]
    recent = [organization_quests.count_recent(conn, names, now + timedelta(days=days)) for days in (-30, 1)]
    assert recent == [{"harbor-trail": (1, 1)}, {}]
    assert_in_order(conn)
    entries = client.get(f"{staff.path}/audit?object_id=harbor-trail", headers=staff.admin.headers).json["items"]
    assert [entry["action"] for entry in entries] == ["quest.changed", "quest.created"]
    assert (entries[0]["old"], entries[0]["new"]) == ({"active": False}, {"active": True})


def test_changed_quest_keeps_progress_and_pays_its_new_reward_at_once(
    client: Any, our_catalog: str, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    codes = make_landmarks(conn, staff.org_id, 4)
    create(client, staff, active=True, streak=4)
    for code in codes[:2]:
        visit(conn, ada.id, code)
    # The catalog's clients have the old definition in their caches.
    assert client.post("/api/v1/track/claim_reward", json=CLAIM, headers=ada.headers).status_code == 409

    changed = change(client, staff, streak=3, reward={"item": "medal", "quantity": 1})
    assert (changed.json["players_in_progress"], changed.json["streak"]) == (1, 3)
    visit(conn, ada.id, codes[2])
    response = client.post("/api/v1/track/claim_reward", json=CLAIM, headers=ada.headers)
    assert response.json["reward"] == {"item": "medal", "qty": 1, "org_id": str(staff.org_id)}
    assert change(client, staff, reward=None).json["reward"] is None
    assert conn.execute("SELECT count(*) FROM rewards WHERE name IS NULL").fetchone() == (0,)


def test_player_with_more_steps_than_a_lowered_goal_completes_with_the_next_scan(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    """No code is left that could be the next step."""
    for text in ("one", "two", "three"):
        make_code(conn, staff.org_id, code=text, per_player_limit=None)
    create(client, staff, tags=[], codes=["one", "two", "three"], in_order=True, active=True, auto_claim=True)
    ids: dict[str, Any] = dict(conn.execute("SELECT code, id FROM qr_codes").fetchall())
    for text in ("one", "two"):
        visit(conn, ada.id, ids[text])
    changed: dict[str, Any] = {"codes": ["one", "two"], "streak": 2}
    simulated = simulate(client, staff, quest=TRAIL | {"tags": [], "in_order": True} | changed, events=[])
    assert simulated.json["effect"] == {
        "players_in_progress": 1,
        "would_complete": 1,
        "message": "1 player is in progress. Their progress is kept and counts toward the new goal. "
        "1 of them would complete the quest with their next scan.",
    }
    assert change(client, staff, **changed).status_code == 200
    assert list_items(conn, ada.id) == [("gem", 2)]
    last = visit(conn, ada.id, ids["one"])
    assert ("badge", 2) in list_items(conn, ada.id)
    annul(last)
    assert ("badge", 2) not in list_items(conn, ada.id)
    assert get(client, staff).json["players_in_progress"] == 1
    visit(conn, ada.id, ids["two"])
    assert ("badge", 2) in list_items(conn, ada.id)
    assert get(client, staff).json["players_in_progress"] == 0
    assert_in_order(conn)


@pytest.mark.parametrize(
    ("fields", "loc", "message"),
    [
        ({"name": "Harbor"}, "name", "Use 1 to 100 lowercase letters and digits, with single hyphens between."),
        ({"name": "new"}, "name", "Use another name: new is reserved."),
        ({"name": "simulate"}, "name", "Use another name: simulate is reserved."),
        ({"tags": []}, "codes", "Give codes or tags: scans of them advance the quest."),
        ({"codes": ["dam"]}, "tags", "Give either codes or tags."),
        ({"tags": [], "codes": ["dam", "nothing"], "streak": 1}, "codes.1", "This organization has no code nothing."),
        ({"tags": [], "codes": ["foreign"], "streak": 1}, "codes.0", "This organization has no code foreign."),
        ({"tags": [], "codes": ["dam", "dam"]}, "streak", "Set streak to at most 1, the number of codes."),
        ({"in_order": True}, "streak", "Set streak to 1, the number of entries in order."),
        ({"grace_days": 1}, "grace_days", "Set daily to true, or remove grace_days."),
        ({"daily": True, "in_order": True}, "daily", "A daily quest cannot have in_order or within_seconds."),
        ({"daily": True, "within_seconds": 60}, "daily", "A daily quest cannot have in_order or within_seconds."),
        ({"within_seconds": 0}, "within_seconds", "Use a whole number from 1 to 31,622,400."),
        ({"streak": 10_001}, "streak", "Use a whole number from 1 to 10,000."),
        ({"duplication": 0}, "duplication", "Use a whole number from 1 to 1,000,000."),
        ({"grace_days": 31, "daily": True}, "grace_days", "Use a whole number from 0 to 30."),
        ({"reward": {"item": "badge"}}, "reward.quantity", "This field is required."),
        (
            {"reward": {"item": "badge", "quantity": 1, "name": "Gold"}},
            "reward.name",
            "Remove the name: a reward of an organization has the quest's name.",
        ),
        ({"org_id": "x"}, "org_id", "This field is unknown. Remove it, or check its spelling."),
    ],
)
def test_contradictions_are_refused_in_sentences(
    client: Any, conn: Conn, app: Flask, staff: Staff, fields: Any, loc: str, message: str
) -> None:
    make_code(conn, staff.org_id, code="dam")
    make_code(conn, make_staff(app, conn).org_id, code="foreign")
    refused = create(client, staff, **fields)
    assert (refused.status_code, refused.json["errors"]) == (422, [{"loc": f"body.{loc}", "message": message}])

    document = yaml.safe_dump({"quests": [TRAIL | fields]})
    refused = client.post(f"{staff.path}/quests", data=document, headers=staff.admin.headers | YAML)
    assert refused.json["errors"] == [{"loc": f"body.quests.0.{loc}", "message": message}]

    if "name" not in fields:
        assert create(client, staff).status_code == 201
        refused = change(client, staff, **fields)
        assert (refused.status_code, refused.json["errors"][0]["message"]) == (422, message)
    assert [quest.name for quest in definitions.list_all(conn)] == ["harbor-trail"] * ("name" not in fields)


def test_name_cannot_be_changed(client: Any, conn: Conn, staff: Staff) -> None:
    create(client, staff)
    refused = client.patch(f"{staff.path}/quests/harbor-trail", json={"name": "a"}, headers=staff.admin.headers)
    assert refused.json["errors"][0]["loc"] == "body.name"


def test_code_that_was_deleted_does_not_prevent_other_changes(client: Any, conn: Conn, staff: Staff) -> None:
    code = make_code(conn, staff.org_id, code="dam")
    create(client, staff, tags=[], codes=["dam"], streak=1)
    assert client.delete(f"{staff.codes}/{code}", headers=staff.admin.headers).status_code == 204
    assert change(client, staff, active=True).status_code == 200
    assert change(client, staff, codes=["dam"]).status_code == 422


@pytest.mark.parametrize("name", ["harbor-trail", "three-landmarks", "sign-up", "sign-in-three-times", "erased"])
def test_name_is_taken_by_any_organization_the_operator_and_earlier_quests(
    client: Any, conn: Conn, app: Flask, staff: Staff, ada: SignedInPlayer, name: str
) -> None:
    other = make_staff(app, conn)
    create(client, other)
    make_quest(conn, None, "three-landmarks")
    conn.execute(
        """
        INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps)
        VALUES (%s, 'erased', 1, 0, 1, 0, '[]')
        """,
        (ada.id,),
    )
    taken = create(client, staff, name=name)
    assert (taken.status_code, taken.json["detail"]) == (
        409,
        f"The name {name} is taken. Names are unique in the installation: begin it with the organization's slug.",
    )
    assert get(client, staff, "").json["items"] == []


def test_another_organizations_quest_is_not_found(client: Any, conn: Conn, app: Flask, staff: Staff) -> None:
    other = make_staff(app, conn)
    create(client, other, active=True)
    make_quest(conn, other.org_id, "for-others")
    make_quest(conn, None, "for-nobody")
    for name in ("harbor-trail", "for-others", "for-nobody", "nothing", "a%00b"):
        path = f"{staff.path}/quests/{name}"
        for method, body in (("GET", None), ("PATCH", {"active": False}), ("DELETE", None)):
            assert client.open(path, method=method, json=body, headers=staff.owner.headers).status_code == 404, name
    assert get(client, staff, "").json["items"] == []
    assert get(client, other).json["active"]


def test_quest_of_the_operator_can_be_read_only(client: Any, conn: Conn, staff: Staff) -> None:
    make_quest(conn, staff.org_id, "walk")
    create(client, staff)
    listed = get(client, staff, "").json["items"]
    assert [(quest["name"], quest["managed_by"]) for quest in listed] == [
        ("harbor-trail", "organization"),
        ("walk", "operator"),
    ]
    assert [quest["name"] for quest in get(client, staff, "?active=true").json["items"]] == ["walk"]
    for method in ("PATCH", "DELETE"):
        path = f"{staff.path}/quests/walk"
        refused = client.open(path, method=method, json={"active": False}, headers=staff.admin.headers)
        assert refused.status_code == 409
        assert refused.json["detail"] == "This quest is managed by the operator of the installation."
    waymark("quests", "deactivate", "walk")
    assert get(client, staff, "/walk").status_code == 404


def test_quest_with_progress_is_not_deleted(client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    path = f"{staff.path}/quests/harbor-trail"
    for _ in range(2):
        create(client, staff, active=True)
        assert client.delete(path, headers=staff.admin.headers).status_code == 204
    assert conn.execute("SELECT count(*) FROM rewards").fetchone() == (0,)
    create(client, staff, active=True)
    visit(conn, ada.id, make_landmarks(conn, staff.org_id, 1)[0])
    refused = client.delete(path, headers=staff.admin.headers)
    assert (refused.status_code, refused.json["detail"]) == (
        409,
        "Players have progress on this quest or have claimed its reward. Set active to false instead.",
    )


def test_list_pages_by_name(client: Any, conn: Conn, staff: Staff) -> None:
    for name in ("c", "a-b", "ab", "a"):
        create(client, staff, name=name)
    names: list[str] = []
    path = "?limit=1"
    while True:
        page = get(client, staff, path).json
        names += [quest["name"] for quest in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"?limit=1&cursor={page['next_cursor']}"
    assert names == ["a", "a-b", "ab", "c"]

    path, names = f"{staff.path}/quests?limit=3&format=yaml", []
    while path:
        response = client.get(path, headers=staff.admin.headers)
        names += [quest["name"] for quest in yaml.safe_load(response.text)["quests"]]
        path = response.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert names == ["a", "a-b", "ab", "c"]


# Simulation ----------------------------------------------------------------------------------------------------------


def simulate(client: Any, staff: Staff, **body: Any) -> Any:
    return client.post(f"{staff.path}/quests/simulate", json=body, headers=staff.admin.headers)


def test_simulation_says_what_each_scan_does_and_stores_nothing(client: Any, conn: Conn, staff: Staff) -> None:
    for text, tag in (("one", "a"), ("two", "b"), ("other", "c")):
        make_code(conn, staff.org_id, code=text, tags=[tag])
    quest = TRAIL | {"tags": ["a", "b"], "in_order": True, "streak": 2, "auto_claim": True, "within_seconds": 3_600}
    events = [
        {"qr_code": "two", "at": "2026-02-12T10:00:00Z"},
        {"qr_code": "two", "at": "2026-02-12T12:00:00+01:00"},
        {"qr_code": "one", "at": "2026-02-12T10:30:00Z"},
        {"qr_code": "other", "at": "2026-02-12T12:00:00Z"},
        {"qr_code": "nothing", "at": "2026-02-12T12:00:01Z"},
        {"action": "signin", "at": "2026-02-12T12:00:02Z"},
        {"qr_code": "one", "at": "2026-02-12T13:00:00Z"},
    ]
    result = simulate(client, staff, quest=quest, events=events)
    assert result.status_code == 200, result.text
    outline = [
        (
            step["at"][11:16],
            step["qr_code"],
            step["counted"],
            step["ignored_reason"],
            step["progress"],
            step["completed"],
        )
        for step in result.json["steps"]
    ]
    assert outline == [
        ("10:00", "two", False, "out_of_order", 0, False),
        ("10:30", "one", True, None, 1, False),
        ("11:00", "two", True, None, 0, True),
        ("12:00", "other", False, "not_in_quest", 0, False),
        ("12:00", "nothing", False, "unknown_code", 0, False),
        ("12:00", None, False, "advanced_by_scans", 0, False),
        ("13:00", "one", False, "max_completions_reached", 0, False),
    ]
    assert result.json["steps"][2]["reward"] == {"item": "badge", "quantity": 2, "org_id": str(staff.org_id)}
    assert (result.json["progress"], result.json["completions"]) == (0, 1)
    assert result.json["effect"]["message"] == "No player is in progress."
    for table in ("quests", "quest_states", "quest_events", "audit_log"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_simulated_days_are_those_of_the_time_zone(client: Any, conn: Conn, staff: Staff) -> None:
    make_landmarks(conn, staff.org_id, 1, code="dam")
    quest = TRAIL | {"daily": True, "streak": 2}
    events = [{"qr_code": "dam", "at": f"2026-02-12T{hour}:30:00Z"} for hour in ("00", "22")]

    def completions(timezone: str) -> int:
        return int(simulate(client, staff, quest=quest, events=events, timezone=timezone).json["completions"])

    assert (completions("UTC"), completions("Asia/Tokyo")) == (0, 1)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"name": "nothing", "events": []}, 404, None),
        ({"events": []}, 422, "Give either quest or name."),
        ({"name": "harbor-trail", "quest": TRAIL, "events": []}, 422, "Give either quest or name."),
        ({"quest": TRAIL | {"in_order": True}, "events": []}, 422, "Set streak to 1, the number of entries in order."),
        ({"quest": TRAIL, "events": [{"at": "2026-02-12T10:00:00Z"}]}, 422, "Give either qr_code or action."),
        ({"quest": TRAIL, "events": [{"qr_code": "a", "at": "now"}]}, 422, "Use an RFC 3339 time"),
        (
            {"quest": TRAIL, "events": [{"qr_code": "a", "at": "2026-02-12T10:00:00Z"}] * 1_001},
            422,
            "Use at most 1,000",
        ),
        ({"quest": TRAIL, "events": [], "timezone": "Mars"}, 422, ""),
        ({"name": "harbor-trail", "events": []}, 200, None),
    ],
)
def test_malformed_simulation_is_refused(
    client: Any, conn: Conn, staff: Staff, body: Any, status: int, message: str | None
) -> None:
    create(client, staff)
    result = simulate(client, staff, **body)
    assert result.status_code == status, result.text
    if message is not None:
        assert result.json["errors"][0]["message"].startswith(message)


# YAML ----------------------------------------------------------------------------------------------------------------


def test_yaml_that_is_read_is_accepted_by_post_and_by_the_operators_command(
    client: Any, conn: Conn, app: Flask, staff: Staff, tmp_path: Any
) -> None:
    file = tmp_path / "quests.yaml"
    empty = get(client, staff, "?format=yaml").text
    file.write_text(empty)
    created = client.post(f"{staff.path}/quests", data=empty, headers=staff.admin.headers | YAML)
    assert (empty, created.status_code, created.json["items"]) == ("quests: []\n", 201, [])
    assert waymark("quests", "load", file) == "Read 0 quests, added or changed 0\n"

    create(client, staff, active=True)
    create(client, staff, name="daily-coffee", daily=True, grace_days=2, tags=["no", "1"], reward=None)
    document = get(client, staff, "", Accept="application/yaml")
    assert document.content_type == "application/yaml; charset=utf-8"
    assert get(client, staff, "?format=yaml").text == document.text
    assert get(client, staff, "", Accept="*/*").is_json
    assert "active" not in document.text
    conn.execute("DELETE FROM quests")

    created = client.post(f"{staff.path}/quests", data=document.text, headers=staff.admin.headers | YAML)
    assert created.status_code == 201, created.text
    assert [quest["name"] for quest in created.json["items"]] == ["daily-coffee", "harbor-trail"]
    assert not any(quest["active"] for quest in created.json["items"])
    assert get(client, staff, "?format=yaml").text == document.text

    conn.execute("DELETE FROM quests")
    file.write_text(document.text)
    changed = "Read 2 quests, added or changed 2: daily-coffee, harbor-trail\n"
    assert waymark("quests", "load", file) == changed
    assert waymark("quests", "load", file) == "Read 2 quests, added or changed 0\n"


def test_yaml_creates_all_quests_or_none(client: Any, conn: Conn, staff: Staff) -> None:
    make_quest(conn, None, "taken")
    document = "quests:\n" + "".join(f"- {{name: {name}, streak: 1, tags: [x]}}\n" for name in ("free", "taken"))
    refused = client.post(f"{staff.path}/quests", data=document, headers=staff.admin.headers | YAML)
    assert refused.status_code == 409
    assert [quest.name for quest in definitions.list_all(conn)] == ["taken"]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nquests: [*b, *b]\n"
QUEST = "{name: a, streak: 1, tags: [x]}"


@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        (BOMB, 422, "Invalid YAML: anchors and aliases are not supported, in line 1, column 4."),
        (f"quests: [{QUEST}]\nquests: []", 422, "Invalid YAML: give each key once, in line 2, column 1."),
        ("quests: [{name: a, name: b}]", 422, "Invalid YAML: give each key once, in line 1, column 20."),
        ("quests: [{[a]: b}]", 422, "Invalid YAML: use text as a key, in line 1, column 11."),
        ("quests: !!python/name:os.system x", 422, "Invalid YAML: tags are not supported, in line 1, column 9."),
        ("quests: " + "[" * 1_000_000, 422, "Invalid YAML: more than 10 levels are not supported, in line 1, column"),
        ("quests: [" + "a," * 500_000 + "]", 422, "Invalid YAML: this document has too many entries"),
        (f"quests: [{QUEST[:-1]}, duplication: {'9' * 900_000}}}]", 422, "Use a whole number"),
        (f"quests: [{QUEST[:-1]}, duplication: {'1:' * 200_000}1}}]", 422, "Use a whole number"),
        (f"quests: [{QUEST[:-1]}, daily: yes}}]", 422, "Use true or false."),
        (f"quests: [{QUEST[:-1]}, description: 2001-99-99}}]", 201, None),
        (f"quests: [{QUEST[:-1]}, description: 12}}]", 422, "Use at most 2,000 characters, without NUL."),
        ("quests: {", 422, "Invalid YAML: "),
        ("quests: \x01", 422, "Invalid YAML: "),
        ("", 422, "Use an object."),
        ("--- 1\n--- 2", 422, "Invalid YAML: but found another document"),
        ("#" * 1_100_000, 413, None),
    ],
)
def test_hostile_yaml_is_refused(
    client: Any, conn: Conn, staff: Staff, document: str, status: int, message: str | None
) -> None:
    response = client.post(f"{staff.path}/quests", data=document, headers=staff.admin.headers | YAML)
    assert response.status_code == status, response.text
    if message is not None:
        assert response.json["errors"][0]["message"].startswith(message), response.text


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [
        ("text/yaml", f"quests: [{QUEST}]".encode(), 201),
        ("application/x-yaml; charset=UTF8", b"\xef\xbb\xbfquests: [%b]" % QUEST.encode(), 201),
        ("application/yaml; charset=latin1", b"quests: []", 415),
        ("text/plain", b"quests: []", 415),
        ("application/yaml", b"\xff", 422),
        ("application/json", b"quests: []", 422),
    ],
)
def test_media_types(client: Any, conn: Conn, staff: Staff, content_type: str, data: bytes, status: int) -> None:
    headers = staff.admin.headers | {"Content-Type": content_type}
    response = client.post(f"{staff.path}/quests", data=data, headers=headers)
    assert response.status_code == status, response.text


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20) | st.sampled_from(
    ["no", "1", "~", "null", "1:30", "2001-01-01", "=", "<<", "true", " x", "a: b", "#", "é", "0x1", "1e3"]
)
QUESTS = st.builds(
    QuestDefinition,
    name=st.from_regex(r"\A[a-z0-9](-?[a-z0-9]){0,9}\Z").filter(lambda name: name != "new"),
    streak=st.just(2),
    duplication=st.integers(1, 1_000_000),
    description=st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=50),
    auto_claim=st.booleans(),
    min_interval_seconds=st.integers(0, 1_000),
    tags=st.lists(TEXT, min_size=2, max_size=2).map(tuple),
    in_order=st.booleans(),
    within_seconds=st.none() | st.integers(1, 31_622_400),
    reward=st.none() | st.builds(RewardDefinition, st.none(), TEXT.filter(str.strip), st.integers(1, 1_000_000)),
)


@given(st.lists(QUESTS, max_size=3, unique_by=lambda quest: quest.name))
def test_written_yaml_reads_as_the_same_quests(quests: list[QuestDefinition]) -> None:
    assert yaml_loader.parse(yaml_writer.dump(quests)) == quests


def test_default_quests_survive_writing(conn: Conn) -> None:
    quests = yaml_loader.parse(yaml_loader.DEFAULT_QUESTS.read_text())
    assert yaml_loader.parse(yaml_writer.dump(quests)) == quests


# The operator's catalog ----------------------------------------------------------------------------------------------


def test_file_with_the_name_of_an_organizations_quest_is_not_loaded(
    client: Any, conn: Conn, staff: Staff, tmp_path: Any
) -> None:
    create(client, staff)
    slug = conn.execute("SELECT slug FROM organizations WHERE id = %s", (staff.org_id,)).fetchone()
    assert slug is not None
    file = tmp_path / "quests.yaml"
    reward = "reward: {item: gold, quantity: 9}"
    file.write_text(f"quests: [{{name: a, streak: 1}}, {{name: harbor-trail, streak: 1, {reward}}}]")
    message = f"quests.1: name: harbor-trail is a quest of the organization {slug[0]}."
    assert error_of("quests", "load", file) == f"{file} was not loaded.\n{message}"
    assert [(quest.name, quest.item) for quest in definitions.list_all(conn)] == [("harbor-trail", "badge")]
    refused = f"harbor-trail is a quest of the organization {slug[0]}, whose members activate it"
    assert error_of("quests", "deactivate", "harbor-trail") == refused
    assert error_of("quests", "deactivate", "unknown") == "No quest unknown"


def test_default_quests_are_loaded_beside_quests_of_organizations(client: Any, conn: Conn, staff: Staff) -> None:
    create(client, staff)
    create(client, staff, name="three-landmarks")
    load_default_quests()
    assert len(definitions.list_all(conn)) == 7
    kept = definitions.find(conn, "three-landmarks")
    assert kept is not None
    assert kept.org_id == staff.org_id


def test_catalog_serves_quests_of_organizations(client: Any, our_catalog: str, staff: Staff) -> None:
    from shared.quests import catalog_client, grpc_channel, quest_pb2

    create(client, staff)
    quest = grpc_channel.call("GetQuestInfo", quest_pb2.QuestRequest(quest_name="harbor-trail"))
    assert (quest.streak, quest.rewards.reward_name, quest.rewards.reward_item) == (3, "harbor-trail", "badge")
    quests = grpc_channel.call("GetAllQuests", quest_pb2.QuestListRequest()).quests
    assert {"harbor-trail", "sign-up"} <= {quest.name for quest in quests}
    assert catalog_client.get_quest("harbor-trail").reward is not None


def test_quest_of_an_organization_needs_no_catalog(
    client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer, set_settings: Settings
) -> None:
    create(client, staff, active=True, streak=1)
    visit(conn, ada.id, make_landmarks(conn, staff.org_id, 1)[0])
    assert client.post("/api/v1/track/claim_reward", json=CLAIM, headers=ada.headers).status_code == 200
    assert ("badge", 2) in list_items(conn, ada.id)


def test_quests_of_a_closed_organization_are_listed_with_progress_only(
    client: Any, our_catalog: str, conn: Conn, app: Flask, staff: Staff, ada: SignedInPlayer
) -> None:
    create(client, staff, active=True, streak=1)
    create(client, staff, active=True, name="untouched", tags=["other"])

    def listed() -> set[str]:
        items = client.get("/api/v1/quests", headers=ada.headers).json["items"]
        return {quest["name"] for quest in items} & {"harbor-trail", "untouched"}

    assert listed() == {"harbor-trail", "untouched"}
    visit(conn, ada.id, make_landmarks(conn, staff.org_id, 1)[0])
    conn.execute("UPDATE organizations SET closed_at = now() WHERE id = %s", (staff.org_id,))
    assert listed() == {"harbor-trail"}
    assert client.post("/api/v1/track/claim_reward", json=CLAIM, headers=ada.headers).status_code == 410
    assert organization_quests.find(conn, staff.org_id, "harbor-trail") is not None
