"""Work that would block the event loop runs in native threads."""

import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from pydantic import field_validator

from shared.generated_codes import image_rendering
from shared.generated_codes.rules import GenerateRequest
from shared.images import symbol
from shared.images.image_spec import ErrorCorrection
from shared.infra import event_loop
from shared.infra.db import Conn
from shared.infra.storage.local import LocalStorage
from tests.generated_codes.factories import ask
from tests.support.callers import Staff
from tests.support.factories import make_code
from web.http.schemas import LargeBody

MANY_CODES = {
    "codes": [{"code": f"code-{n}", "scan_type": "item_drop", "description": 1_000 * "x"} for n in range(100)]
}


@pytest.fixture
def on_gevent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "runs_on_gevent", lambda: True)


def logo() -> BytesIO:
    file = BytesIO()
    Image.new("RGB", (8, 8), "navy").save(file, "PNG")
    file.seek(0)
    return file


def get_image(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.get(f"{codes}/{code}/image", headers=headers)


def put_customization(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.put(f"{codes}/{code}/customization", json={"foreground_color": "#102030"}, headers=headers)


def put_logo(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.put(f"{codes}/{code}/customization/logo", data={"logo": (logo(), "logo.png")}, headers=headers)


def generate(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.post("/generate", json={"data": "x"}, headers=headers)


def register(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.post("/auth/register", json={"username": "grace", "password": "correct horse"})


def post_many_codes(client: Any, codes: str, code: UUID, headers: dict[str, str]) -> Any:
    return client.post(f"{codes}/bulk", json=MANY_CODES, headers=headers | {"Idempotency-Key": "k"})


@pytest.mark.parametrize(
    ("work", "request_work"),
    [
        ("shared.images.verification.render_verified", get_image),
        ("shared.images.verification.render_verified", put_customization),
        ("shared.images.logos.sanitize_logo", put_logo),
        ("shared.generated_codes.image_rendering.check_fits", generate),
        ("argon2.PasswordHasher.hash", register),
        ("shared.infra.strict_json.loads", post_many_codes),
        ("web.http.idempotency._digest", post_many_codes),
    ],
)
def test_work_of_a_request_leaves_the_event_loop(
    client: Any,
    conn: Conn,
    staff: Staff,
    on_gevent: None,
    monkeypatch: pytest.MonkeyPatch,
    work: str,
    request_work: Callable[..., Any],
) -> None:
    threads = record_threads(monkeypatch, work)

    response = request_work(client, staff.codes, make_code(conn, staff.org_id), staff.admin.headers)

    assert response.status_code in (200, 201), response.text
    assert threads
    assert threading.get_ident() not in threads


def record_threads(monkeypatch: pytest.MonkeyPatch, name: str) -> set[int]:
    """Return a set that receives the threads in which the function of this name runs."""
    threads: set[int] = set()
    owner, _, attribute = name.rpartition(".")
    target = resolve_name(owner)
    original = getattr(target, attribute)

    def recorded(*args: Any, **kwargs: Any) -> Any:
        threads.add(threading.get_ident())
        return original(*args, **kwargs)

    monkeypatch.setattr(target, attribute, recorded)
    return threads


def test_image_that_no_worker_has_rendered_leaves_the_event_loop(
    client: Any, conn: Conn, on_gevent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = record_threads(monkeypatch, "shared.generated_codes.image_rendering.render")

    assert client.get(f"/retrieve/{ask(conn)}/image").status_code == 200
    assert threads
    assert threading.get_ident() not in threads


def test_large_body_is_validated_in_a_native_thread(on_gevent: None) -> None:
    threads: set[int] = set()

    class ProbeBody(LargeBody):
        values: list[int]

        @field_validator("values")
        @classmethod
        def _record(cls, values: list[int]) -> list[int]:
            threads.add(threading.get_ident())
            return values

    assert ProbeBody.model_validate({"values": [1]}).values == [1]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_files_are_read_in_a_native_thread(on_gevent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    with storage.write("renders/a.zip") as file:
        file.write(b"content")
    threads = record_threads(monkeypatch, "pathlib.Path.open")

    assert (b"".join(storage.read("renders/a.zip")), storage.size("renders/a.zip")) == (b"content", 7)
    assert threading.get_ident() not in threads


@given(st.text(st.characters(max_codepoint=126, exclude_characters="\0"), min_size=1), st.sampled_from("LMQH"))
@example("é", "L")
@example("日é", "H")
def test_text_of_at_most_the_bytes_of_its_level_fits(text: str, level: ErrorCorrection) -> None:
    symbol.encode(text * (symbol.BYTES[level] // len(text.encode())), level)


def test_check_of_an_ordinary_size_encodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []

    def record(text: str, level: ErrorCorrection) -> symbol.Modules:
        encoded.append(text)
        return symbol.encode(text, level)

    monkeypatch.setattr(image_rendering, "encode", record)
    image_rendering.check_fits(GenerateRequest(data="x" * 2_331))
    assert encoded == []
    small, digits = GenerateRequest(data="x", size=184), GenerateRequest(data="1" * 2_332)
    for request in (small, digits):
        image_rendering.check_fits(request)
    assert encoded == [small.data, digits.data]


@pytest.mark.parametrize("run", [event_loop.run_in_thread, event_loop.run_in_background_thread])
def test_error_in_a_thread_is_raised_and_not_printed(
    on_gevent: None, capfd: pytest.CaptureFixture[str], run: Callable[[Callable[[], Any]], Any]
) -> None:
    with pytest.raises(ValueError, match="malformed"):
        run(lambda: int("malformed"))

    assert "Traceback" not in capfd.readouterr().err
