"""Pages behind a proxy that ends TLS: cookies, policies and sockets are those of https."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints, watch
from tests.pages.test_sign_in import fill
from tests.pages.tls_proxy import tls_proxy
from tests.support.gunicorn_server import serving

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]


@pytest.fixture
def origins(client: Any, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return the origin of the proxy, and that of the server behind it."""
    with serving(tmp_path / "web.log", TRUSTED_PROXIES="1") as port, tls_proxy(port, tmp_path) as proxy:
        yield proxy, f"http://127.0.0.1:{port}"


def test_session_and_policies_over_tls(browser: Any, complaints: Complaints, origins: tuple[str, str]) -> None:
    proxy, direct = origins
    context = browser.new_context(base_url=proxy, ignore_https_errors=True, locale="en-US")
    watch(context, complaints)
    page = context.new_page()
    response = page.goto("/create-account?next=/about")
    fill(page, Username=f"p{uuid4().hex[:12]}", Password=PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url(lambda url: "create-account" not in url)

    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    session = cookies["__Host-waymark"]
    assert "waymark" not in cookies
    assert (session["secure"], session["httpOnly"], session["sameSite"], session["path"]) == (True, True, "Lax", "/")
    assert response.headers["strict-transport-security"] == "max-age=31536000"
    policy = response.headers["content-security-policy"]
    assert f" wss://{proxy.removeprefix('https://')}" in policy
    assert " ws://" not in policy
    assert page.goto("/account").status == 200

    # Without the header of the proxy, the same server speaks plain http.
    plain = context.request.get(f"{direct}/sign-in")
    assert "strict-transport-security" not in plain.headers
    assert " ws://" in plain.headers["content-security-policy"]
    context.close()
