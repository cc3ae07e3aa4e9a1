"""Fixtures of designs: a code, and its customization over HTTP."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from shared.infra.db import Conn
from tests.support.callers import Staff
from tests.support.factories import make_code


@pytest.fixture
def code(conn: Conn, staff: Staff) -> str:
    return f"{staff.codes}/{make_code(conn, staff.org_id, code='spy123')}"


@pytest.fixture
def put(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def send(**fields: Any) -> Any:
        return client.put(f"{code}/customization", json=fields, headers=staff.admin.headers)

    return send


@pytest.fixture
def upload(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def send(data: bytes, name: str = "logo.png", field: str = "logo") -> Any:
        return client.put(
            f"{code}/customization/logo", data={field: (BytesIO(data), name)}, headers=staff.admin.headers
        )

    return send


@pytest.fixture
def customization(client: Any, staff: Staff, code: str) -> Callable[[], Any]:
    return lambda: client.get(f"{code}/customization", headers=staff.member.headers).json


@pytest.fixture
def get_image(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def send(**query: Any) -> Any:
        return client.get(f"{code}/image", query_string=query, headers=staff.member.headers)

    return send
