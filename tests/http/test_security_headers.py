"""What every answer tells browsers not to do, and what pages and pictures say of themselves."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import Staff
from web.http.security_headers import CONTENT_SECURITY_POLICY, SECURITY_HEADERS


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/users/me", 401), ("/nothing", 404), ("/openapi.json", 200)]
)
def test_every_answer_is_protected(client: Any, path: str, status: int) -> None:
    answer = client.get(path)

    assert answer.status_code == status
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("path", ["/docs", "/s/nothing", "/b/nothing"])
def test_pages_run_nothing_inline_and_stand_in_no_frame(client: Any, path: str) -> None:
    answer = client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))

    assert answer.content_type.startswith("text/html")
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy.get("script-src", "'none'") in ("'self'", "'none'")
    assert "unsafe" not in policy.get("style-src", "")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_a_picture_that_is_opened_as_a_page_is_in_a_sandbox(client: Any, staff: Staff) -> None:
    answer = client.get(f"{staff.path}/qr-business/image?format=svg", headers=staff.member.headers)

    assert answer.status_code == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"].split("; ")
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    png = client.get(f"{staff.path}/qr-business/image", headers=staff.member.headers)
    assert png.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_generated_pictures_may_be_shown_elsewhere(client: Any, staff: Staff) -> None:
    """Whoever knows the id may see them, also on a page of another site; what needs credentials may not."""
    made = client.post("/generate", json={"data": "x"}, headers=staff.member.headers).json

    shown = client.get(f"/retrieve/{made['qr_id']}/image")
    assert shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    kept = client.get(f"{staff.path}/qr-business/image", headers=staff.member.headers)
    assert kept.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("proxies", "told", "strict"),
    [
        ("0", "https", False),
        ("1", "https", True),
        ("1", "http", False),
        ("1", "https, http", False),
        ("1", "", False),
        ("1", "javascript", False),
        ("2", "https", True),  # the nearest proxy has written it anew
        ("2", "https, http", True),
        ("2", "https, http, http", False),
        ("2", "http", False),
    ],
)
def test_https_stays_https_where_a_trusted_proxy_says_so(
    serve: Callable[..., Any], proxies: str, told: str, strict: bool
) -> None:
    answer = serve(TRUSTED_PROXIES=proxies).get("/healthz", headers={"X-Forwarded-Proto": told})

    assert ("Strict-Transport-Security" in answer.headers) is strict


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_a_forged_host_comes_back_nowhere(serve: Callable[..., Any], proxies: str, conn: Any) -> None:
    from tests.support.callers import make_staff

    client = serve(TRUSTED_PROXIES=proxies)
    staff = make_staff(client.application, conn)
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    forged |= staff.admin.headers
    answers = [
        client.post("/scan", json={"player_id": str(staff.admin.id), "qr_code": "x"}, headers=forged),
        client.post(staff.codes, json={"scan_type": "item_drop"}, headers=forged),
        client.post(f"{staff.path}/renders", json={"all": True}, headers=forged),
        client.post("/generate", json={"data": "x"}, headers=forged),
        client.get("/users/me/", headers=forged),
        client.get("/openapi.json", headers=forged),
        client.get("/docs", headers=forged),
    ]

    for answer in answers:
        assert "evil.example" not in answer.text
        assert "evil.example" not in str(answer.headers)
