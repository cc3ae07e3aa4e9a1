"""Attacks on limits: an address that changes with every request."""

import os
from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import patch

from shared.settings import settings
from tests.security.attack import Attack, Scene, replaced
from web.app import create_app
from web.http import proxy_headers

LIMITED = {"RATE_LIMITS_ENABLED": "true", "TRUSTED_PROXIES": "1", "RATE_LIMIT_ANONYMOUS": "2 per minute"}


def rotating_addresses(_scene: Scene) -> bool:
    """Behind one proxy, which adds the address it sees to whatever the client wrote before."""
    with patch.dict(os.environ, LIMITED):
        settings.cache_clear()
        try:
            client = create_app().test_client()
            told = [{"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.7"} for n in range(4)]
            return 429 not in [client.get("/api/organizations", headers=headers).status_code for headers in told]
        finally:
            settings.cache_clear()


class FromTheLeft:
    """What many applications do: the first address is taken for the client's."""

    def __init__(self, app: Callable[..., Iterable[bytes]], **_hops: int) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")[0].strip()
        return self.app(environ, start_response)


ATTACKS = [
    Attack(
        "rotating X-Forwarded-For against the rate limits",
        rotating_addresses,
        replaced(proxy_headers, "ProxyFix", FromTheLeft),
    )
]
