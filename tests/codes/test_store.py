"""Codes in PostgreSQL: stored completely, unique until deleted, filtered."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.codes import store
from shared.codes.filters import CodeFilter
from shared.codes.rules import CODE_PATTERN, CodeDefinition, CodeReward, EncounterDefinition, find_errors
from shared.encounters.rules import is_solvable
from shared.errors import CodeDeleted, CodeTaken, DestinationInUse, UnknownDestination
from shared.infra import db
from shared.infra.db import Conn
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_org

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.none() | st.integers(1, 2**31 - 1)
ENCOUNTERS = st.builds(
    EncounterDefinition,
    puzzle_type=st.sampled_from(["decryption", "pattern", "hacking"]),
    difficulty_level=st.integers(1, 10),
    data=st.dictionaries(TEXT, JSON, max_size=3),
    solution=st.none() | TEXT,
    max_attempts=COUNTS,
    id=st.none(),
).filter(lambda puzzle: puzzle.solution is None or is_solvable(puzzle.puzzle_type, puzzle.solution))


def repair(code: CodeDefinition) -> CodeDefinition:
    """Remove contradictions."""
    coordinates = (
        (code.latitude or 0.0, code.longitude or 0.0) if code.requires_location else (code.latitude, code.longitude)
    )
    if None in coordinates:
        coordinates = (None, None)
    times = (code.starts_at, code.expires_at)
    if None not in times and times[0] >= times[1]:  # type: ignore[operator]
        times = (None, code.expires_at)
    return replace(
        code,
        latitude=coordinates[0],
        longitude=coordinates[1],
        starts_at=times[0],
        target_url=code.target_url if code.scan_type else "https://example.com",
    )


DEFINITIONS = st.builds(
    CodeDefinition,
    code=st.from_regex(CODE_PATTERN, fullmatch=True),
    description=TEXT,
    scan_type=st.sampled_from([None, "item_drop", "encounter", "transportation"]),
    requires_location=st.booleans(),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
    radius_m=st.floats(5, 50_000),
    reward=st.none() | st.builds(CodeReward, TEXT.filter(bool), st.integers(1, 1_000_000)),
    encounter=st.none() | ENCOUNTERS,
    destination_code=st.none(),
    target_url=st.none() | st.just("https://example.com"),
    active=st.booleans(),
    starts_at=st.none() | TIMES,
    expires_at=st.none() | TIMES,
    max_scans=st.none() | st.integers(1, 10**12),
    per_player_limit=COUNTS,
    cooldown_seconds=COUNTS,
    offline_hours=st.none() | st.floats(0, 2160),
    answer_within_hours=st.floats(0, 8760, exclude_min=True),
    rotating=st.booleans(),
    rotation_seconds=st.integers(5, 3600),
    tags=st.lists(TEXT.filter(bool), max_size=4).map(tuple),
).map(repair)


def definition(code: str = "spy123", **fields: Any) -> CodeDefinition:
    return CodeDefinition(**{"code": code, "scan_type": "item_drop"} | fields)


def add(conn: Conn, org_id: UUID, *codes: CodeDefinition) -> list[UUID]:
    return [store.add(conn, org_id, code) for code in codes]


def list_texts(conn: Conn, org_id: UUID, **conditions: Any) -> set[str]:
    return {code.code for code in store.list_for_organization(conn, org_id, CodeFilter(**conditions), limit=200)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=DEFINITIONS, changed=DEFINITIONS)
def test_valid_code_is_stored_and_read_completely(conn: Conn, new: CodeDefinition, changed: CodeDefinition) -> None:
    assert find_errors(new) == find_errors(changed) == ()
    with conn.transaction(force_rollback=True):
        org_id = make_org(conn)
        stored = store.find(conn, org_id, store.add(conn, org_id, new))
        assert stored is not None
        assert definition_of(stored) == definition_of(new)

        store.save(conn, store.StoredCode(**identity(stored) | vars(changed)))
        again = store.find(conn, org_id, stored.id)
        assert again is not None
        assert definition_of(again) == definition_of(changed)
        if stored.encounter and again.encounter:
            assert again.encounter.id == stored.encounter.id


def definition_of(code: CodeDefinition) -> dict[str, Any]:
    """Return all fields except those that the store adds."""
    fields = {name: value for name, value in vars(code).items() if name in CodeDefinition.__dataclass_fields__}
    if code.encounter:
        fields["encounter"] = vars(code.encounter) | {"id": None}
    return fields


def identity(code: store.StoredCode) -> dict[str, Any]:
    return {name: getattr(code, name) for name in ("id", "org_id", "created_at", "updated_at")}


def rename(conn: Conn, org_id: UUID, qr_id: UUID, text: str) -> None:
    stored = store.find(conn, org_id, qr_id)
    assert stored is not None
    store.save(conn, replace(stored, code=text))


def test_code_text_never_passes_to_another_organization(conn: Conn) -> None:
    first, second = make_org(conn), make_org(conn)
    (qr_id,) = add(conn, first, definition("spy123"))
    (other,) = add(conn, second, definition("SPY123"))  # case matters

    def is_refused() -> bool:
        for attempt in (lambda: add(conn, second, definition("spy123")), lambda: rename(conn, second, other, "spy123")):
            with pytest.raises(CodeTaken):
                attempt()
        return True

    assert is_refused()
    rename(conn, first, qr_id, "spy124")
    assert is_refused(), "an alias"
    assert not store.delete(conn, second, qr_id)
    assert store.delete(conn, first, qr_id)
    assert not store.delete(conn, first, qr_id)
    assert is_refused(), "the alias of a deleted code"
    conn.execute("DELETE FROM qr_codes WHERE org_id = %s", (first,))
    conn.execute("DELETE FROM organizations WHERE id = %s", (first,))
    assert is_refused(), "the alias of an erased organization"


def test_organization_uses_a_text_again_that_leads_to_no_code(conn: Conn) -> None:
    org_id = make_org(conn)
    first, second = add(conn, org_id, definition("spy123"), definition("spy124"))
    rename(conn, org_id, first, "renamed")
    for refused in (lambda: add(conn, org_id, definition("spy123")), lambda: rename(conn, org_id, second, "spy123")):
        with pytest.raises(CodeTaken):
            refused()
    rename(conn, org_id, first, "spy123")
    assert found(conn, "renamed") == found(conn, "spy123") == first, "the alias is the text again"

    store.delete(conn, org_id, first)
    for deleted in ("renamed", "spy123"):
        with pytest.raises(CodeDeleted):
            store.find_by_code(conn, deleted)
    (third,) = add(conn, org_id, definition("renamed"))
    rename(conn, org_id, second, "spy123")
    assert (found(conn, "renamed"), found(conn, "spy123"), found(conn, "spy124")) == (third, second, second)


def found(conn: Conn, text: str) -> UUID | None:
    code = store.find_by_code(conn, text)
    return code.id if code else None


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_racing_rename_and_creation_leave_a_text_with_its_organization(conn: Conn, guarded: bool) -> None:
    """One organization renames its code while another creates a code with the freed text."""
    first, second = make_org(conn), make_org(conn)
    (qr_id,) = add(conn, first, definition("spy123"))
    if not guarded:
        conn.execute("ALTER TABLE qr_codes DISABLE TRIGGER qr_codes_claim_text")

    def create() -> bool:
        with db.transaction() as own:
            try:
                store.add(own, second, definition("spy123"))
            except CodeTaken:
                return False
        return True

    try:
        with ThreadPoolExecutor() as threads:
            with db.transaction() as own:
                rename(own, first, qr_id, "spy124")
                creation = threads.submit(create)
                wait_until_blocked(conn)
            assert creation.result() is not guarded
    finally:
        conn.execute("ALTER TABLE qr_codes ENABLE TRIGGER qr_codes_claim_text")


def lead(conn: Conn, org_id: UUID, text: str, to: str) -> UUID:
    return store.add(conn, org_id, definition(text, scan_type="transportation", destination_code=to))


def test_destination_follows_a_rename(conn: Conn) -> None:
    org_id = make_org(conn)
    (gate,) = add(conn, org_id, definition("gate"))
    lift = lead(conn, org_id, "lift", "gate")
    rename(conn, org_id, gate, "portal")
    stairs = lead(conn, org_id, "stairs", "gate")

    assert [getattr(store.find(conn, org_id, qr_id), "destination_code", None) for qr_id in (lift, stairs)] == [
        "portal"
    ] * 2
    rename(conn, org_id, lift, "elevator")
    stored = store.find(conn, org_id, gate)
    assert stored is not None
    for text in ("gate", "portal"):
        with pytest.raises(UnknownDestination):
            store.save(conn, replace(stored, destination_code=text))


def test_destination_in_use_cannot_be_deleted(conn: Conn) -> None:
    org_id = make_org(conn)
    gate, *_ = add(conn, org_id, definition("gate"))
    leading = [lead(conn, org_id, f"lift-{k:02}", "gate") for k in range(22)]

    with pytest.raises(DestinationInUse, match=r"destination of lift-00, .*, lift-19 and 2 more.") as refusal:
        store.delete(conn, org_id, gate)
    assert "lift-20" not in str(refusal.value)
    for qr_id in leading:
        store.delete(conn, org_id, qr_id)
    assert store.delete(conn, org_id, gate)


def test_code_that_becomes_a_destination_meanwhile_is_not_deleted(conn: Conn) -> None:
    org_id = make_org(conn)
    (gate,) = add(conn, org_id, definition("gate"))

    def delete() -> bool:
        with db.transaction() as own:
            return bool(store.delete(own, org_id, gate))

    with ThreadPoolExecutor() as threads:
        with db.transaction() as own:
            lead(own, org_id, "lift", "gate")
            deletion = threads.submit(delete)
            wait_until_blocked(conn)
        assert isinstance(deletion.exception(), DestinationInUse)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_code_that_is_deleted_meanwhile_does_not_become_a_destination(
    conn: Conn, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    org_id = make_org(conn)
    (gate,) = add(conn, org_id, definition("gate"))
    if not guarded:
        monkeypatch.setattr(store, "_lock_destination", lambda *_: gate)

    def add_lift() -> UUID:
        with db.transaction() as own:
            return lead(own, org_id, "lift", "gate")

    with ThreadPoolExecutor() as threads:
        with db.transaction() as own:
            store.delete(own, org_id, gate)
            addition = threads.submit(add_lift)
            wait_until_blocked(conn)
        assert isinstance(addition.exception(), UnknownDestination) is guarded


def test_transaction_survives_a_taken_code_text(conn: Conn) -> None:
    org_id = make_org(conn)
    with db.transaction() as own:
        add(own, org_id, definition("spy123"))
        with pytest.raises(CodeTaken):
            add(own, org_id, definition("spy123"))
        add(own, org_id, definition("spy124"))

    assert list_texts(conn, org_id) == {"spy124", "spy123"}


def test_update_to_a_taken_code_text_raises(conn: Conn) -> None:
    org_id = make_org(conn)
    _, other = add(conn, org_id, definition("spy123"), definition("spy124"))
    stored = store.find(conn, org_id, other)
    assert stored is not None

    with pytest.raises(CodeTaken):
        store.save(conn, store.StoredCode(**vars(stored) | {"code": "spy123"}))


def test_find_by_code(conn: Conn) -> None:
    org_id = make_org(conn)
    (qr_id,) = add(conn, org_id, definition("spy123"))

    assert getattr(store.find_by_code(conn, "spy123"), "id", None) == qr_id
    for text in ("spy12", "", "spy123\n", "spy\x00123", "\ud800", "a" * 5_000):
        assert store.find_by_code(conn, text) is None
    rename(conn, org_id, qr_id, "spy124")
    assert found(conn, "spy123") == found(conn, "spy124") == qr_id
    store.delete(conn, org_id, qr_id)
    with pytest.raises(CodeDeleted):
        store.find_by_code(conn, "spy123")


def test_filters(conn: Conn) -> None:
    org_id = make_org(conn)
    add(
        conn,
        org_id,
        definition("spy123", description="At the Station", tags=("east", "hidden")),
        definition("spy_24", scan_type="encounter", tags=("east",), active=False),
        definition("other", description="100% of_it", scan_type=None, target_url="https://example.com"),
    )
    add(conn, make_org(conn), definition("foreign"))

    assert list_texts(conn, org_id) == {"other", "spy_24", "spy123"}
    assert list_texts(conn, org_id, text="SPY") == {"spy_24", "spy123"}
    assert list_texts(conn, org_id, text="station") == {"spy123"}
    assert list_texts(conn, org_id, text="_") == {"other", "spy_24"}  # not a wildcard
    assert list_texts(conn, org_id, text="%") == {"other"}
    assert list_texts(conn, org_id, text="\\") == set()
    assert list_texts(conn, org_id, tag="east") == {"spy_24", "spy123"}
    assert list_texts(conn, org_id, tag="eas") == set()
    assert list_texts(conn, org_id, scan_type="encounter") == {"spy_24"}
    assert list_texts(conn, org_id, active=False) == {"spy_24"}
    assert list_texts(conn, org_id, active=True, tag="east", text="123") == {"spy123"}


def test_generated_code_texts_are_unambiguous() -> None:
    generated = {store.generate_code_text() for _ in range(100)}

    assert len(generated) == 100
    assert all(len(code) == 12 and set(code) <= set(store.BASE58) for code in generated)
    assert not set(store.BASE58) & set("0OIl")
