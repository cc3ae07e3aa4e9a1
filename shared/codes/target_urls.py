"""Addresses to which printed codes redirect. None leads to a printed code, which could lead back: a loop."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from shared.infra.schema_types import HttpUrl
from shared.infra.urls import leads_below
from shared.settings import settings

CODE_PATHS = ("/s", "/b")


def leads_to_code(url: str, base_urls: Iterable[str] = ()) -> bool:
    """Return whether a web URL opens a printed code of this installation, at PUBLIC_URL or one of the base URLs."""
    prefixes = (*CODE_PATHS, *settings().extra_code_path_prefixes)
    return any(leads_below(url, base_url, prefixes) for base_url in (settings().public_base_url, *base_urls))


def _leads_elsewhere(url: str) -> str:
    if leads_to_code(url):
        raise ValueError("Use a URL that is not a printed code of this installation. It could lead in a circle.")
    return url


TargetUrl = Annotated[HttpUrl, AfterValidator(_leads_elsewhere)]
