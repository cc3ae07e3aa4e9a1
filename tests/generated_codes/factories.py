"""Create generated codes over HTTP or in PostgreSQL, decode their images, and let them expire."""

from io import BytesIO
from typing import Any
from uuid import UUID

from PIL import Image
from zxingcpp import read_barcodes

from shared.generated_codes import store
from shared.generated_codes.rules import GeneratedCode, GenerateRequest
from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer

DATA = "https://example.com/a?b=c"
PNG = b"\x89PNG\r\n\x1a\n"


def ask(conn: Conn, data: str = DATA, created_by: UUID | None = None, **fields: Any) -> UUID:
    """Insert a pending code that never expires. Return its id."""
    return store.add(conn, created_by, GenerateRequest(data=data, **fields), ttl=None).id


def generate(client: Any, maker: SignedInPlayer | None = None, **body: Any) -> Any:
    """Create a code over HTTP."""
    return client.post("/generate", json={"data": DATA} | body, headers=maker.headers if maker else {})


def count(conn: Conn, table: str = "generated_codes") -> int:
    return conn.execute(f"SELECT FROM {table}").rowcount


def find(conn: Conn, code_id: UUID) -> GeneratedCode:
    code = store.find(conn, code_id)
    assert code is not None
    return code


def expire(conn: Conn, code_id: UUID, by: str = "0") -> None:
    """Let a code expire now, or some time ago."""
    conn.execute("UPDATE generated_codes SET expires_at = now() - %s::interval WHERE id = %s", (by, code_id))


def read(png: bytes) -> str:
    """Decode a PNG with an independent decoder."""
    with Image.open(BytesIO(png)) as image:
        (symbol,) = read_barcodes(image)
    return str(symbol.text)
