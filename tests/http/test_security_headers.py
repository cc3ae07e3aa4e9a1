"""Security headers of all responses, pages and images."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import Staff
from web.http.security_headers import CONTENT_SECURITY_POLICY, SECURITY_HEADERS


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/users/me", 401), ("/nothing", 404), ("/openapi.json", 200)]
)
def test_every_response_has_security_headers(client: Any, path: str, status: int) -> None:
    response = client.get(path)

    assert response.status_code == status
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize("path", ["/docs", "/s/nothing", "/b/nothing"])
def test_pages_allow_no_inline_script_and_no_frame(client: Any, path: str) -> None:
    response = client.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))

    assert response.content_type.startswith("text/html")
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] in ("'none'", "'self'")
    assert policy.get("script-src", "'none'") in ("'self'", "'none'")
    assert "unsafe" not in policy.get("style-src", "")
    assert response.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert response.headers["X-Frame-Options"] == "DENY"


def test_image_opened_as_a_page_is_sandboxed(client: Any, staff: Staff) -> None:
    response = client.get(f"{staff.path}/qr-business/image?format=svg", headers=staff.member.headers)

    assert response.status_code == 200
    assert "sandbox" in response.headers["Content-Security-Policy"].split("; ")
    assert "script-src" not in response.headers["Content-Security-Policy"]
    png = client.get(f"{staff.path}/qr-business/image", headers=staff.member.headers)
    assert png.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_generated_images_can_be_embedded_by_other_sites(client: Any, staff: Staff) -> None:
    """The id is enough to see a generated image, also on a page of another site. Others need credentials."""
    made = client.post("/generate", json={"data": "x"}, headers=staff.member.headers).json

    shown = client.get(f"/retrieve/{made['qr_id']}/image")
    assert shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    kept = client.get(f"{staff.path}/qr-business/image", headers=staff.member.headers)
    assert kept.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "strict"),
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
def test_hsts_follows_the_scheme_of_a_trusted_proxy(
    serve: Callable[..., Any], proxies: str, forwarded: str, strict: bool
) -> None:
    response = serve(TRUSTED_PROXIES=proxies).get("/healthz", headers={"X-Forwarded-Proto": forwarded})

    assert ("Strict-Transport-Security" in response.headers) is strict


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_forged_host_is_in_no_response(serve: Callable[..., Any], proxies: str, conn: Any) -> None:
    from tests.support.callers import make_staff

    client = serve(TRUSTED_PROXIES=proxies)
    staff = make_staff(client.application, conn)
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    forged |= staff.admin.headers
    responses = [
        client.post("/scan", json={"player_id": str(staff.admin.id), "qr_code": "x"}, headers=forged),
        client.post(staff.codes, json={"scan_type": "item_drop"}, headers=forged),
        client.post(f"{staff.path}/renders", json={"all": True}, headers=forged),
        client.post("/generate", json={"data": "x"}, headers=forged),
        client.get("/users/me/", headers=forged),
        client.get("/openapi.json", headers=forged),
        client.get("/docs", headers=forged),
    ]

    for response in responses:
        assert "evil.example" not in response.text
        assert "evil.example" not in str(response.headers)
