"""Hostile requests, as bytes: bodies, paths, headers and HTTP itself, made at random from a seed. Pure."""

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

JSON = "application/json"
AN_ID = "0197a6b0-0000-7000-8000-000000000000"


class Request(NamedTuple):
    """`is_http` where a server has to answer; what is not may be hung up on."""

    data: bytes
    method: str
    path: str
    is_http: bool = True

    @property
    def label(self) -> str:
        return f"{self.method} {self.path[:120]!r} {self.data[:600]!r}"


@dataclass(frozen=True)
class World:
    """What there is to attack: the operations of the OpenAPI document, credentials by whose they are, ids by name."""

    operations: Sequence[tuple[str, str]]
    credentials: Mapping[str, str]
    ids: Mapping[str, Sequence[str]]


BODIES: dict[str, dict[str, Any]] = {
    "/auth/register": {"username": "grace", "password": "correct horse", "email": "a@b.example"},
    "/auth/login": {"username": "grace", "password": "correct horse"},
    "/api/organizations": {"name": "Museum", "slug": "museum", "url": "https://a.example"},
    "/members": {"username": "grace", "role": "member"},
    "/invitations": {"role": "member", "username": "grace", "uses": 1, "expires_at": "2030-01-01T00:00:00Z"},
    "/qr-codes": {"scan_type": "item_drop", "reward": {"item": "gem", "quantity": 1}, "tags": ["a"], "latitude": 52.3},
    "/bulk": {"codes": [{"scan_type": "item_drop"}, {"scan_type": None, "target_url": "https://a.example"}]},
    "/customization": {"foreground_color": "#000000", "style": "dots", "logo_size_percent": 20},
    "/renders": {"all": True, "size": 300, "label": {"template": "a4-3x8"}},
    "/scan": {"player_id": AN_ID, "qr_code": "spy123", "latitude": 52.3, "longitude": 4.9, "nonce": "n"},
    "/batch": {"sent_at": "2026-02-12T10:00:00Z", "scans": []},
    "/generate": {"data": "https://a.example", "expiration_hours": 1, "size": 300},
    "/solve": {"answer": "open sesame"},
    "/claim_reward": {"quest_name": "sign-up"},
    "/simulate": {"player_id": AN_ID, "qr_code": "spy123", "accuracy": 5},
    "/api-keys": {"name": "Kiosk", "scopes": ["scan"], "expires_at": "2030-01-01T00:00:00Z"},
    "/users/me": {"timezone": "Europe/Amsterdam"},
}
VALUES: Sequence[Any] = (
    *(None, True, 0, -1, 1.5, 2**63, 10**400, -(10**30), 1e308, "", " ", "a" * 70_000, "\u0000", "\ud800", "\u202e"),
    *([], {}, [[]], {"a": {}}, ["a"] * 500, {"": ""}, "'; --", "{{7*7}}", "${7*7}", "%s%n", "../../etc", "\r\nX: y"),
    *(
        "javascript:alert(1)",
        "https://a\\@b.example",
        "2026-13-45T99:99:99Z",
        AN_ID,
        "0" * 36,
        "NaN",
        "é" * 300,
        "\x1b[31m",
    ),
)
RAW_BODIES: Sequence[bytes] = (
    *(
        b"",
        b"{",
        b"nul",
        b"[]",
        b'"a"',
        b"{}{}",
        b"\x00",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a":1e999}',
    ),
    *(b"[" * 100_000, b'{"a":' * 50_000, b'{"name":"a","name":"b","name":[]}', b'{"a":"\\ud800"}', b'{"a":"\\u0000"}'),
    *('{"name":"é"}'.encode("utf-16"), '{"name":"é"}'.encode("latin-1"), b"\xef\xbb\xbf{}", b"9" * 50_000, b"a=b&c=d"),
    *(
        gzip.compress(bytes(10_000_000)),
        b"PK\x03\x04" + bytes(100),
        b"code,scan_type\n" + b"a,b\n" * 2_000,
        b"code;\n=1;",
    ),
    *(
        b'code,scan_type\n"',
        b"\x00" * 1_000,
        b'{"codes":[' + b"{}," * 20_000 + b"{}]}",
        b"<xml/>",
        b"--x\r\n",
        bytes(1_100_000),
    ),
)
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="logo"; filename="../../a.png"\r\n\r\n\x89PNG\r\n\x1a\n\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="logo"\r\n\r\ntext\r\n--x--\r\n',
    b"--x\r\n" * 3_000,
    b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 10_000 + b'"\r\n\r\n\r\n--x',
    b"".join(b'--x\r\nContent-Disposition: form-data; name="logo"\r\n\r\n\r\n' for _ in range(1_500)) + b"--x--\r\n",
    b"--x\r\nContent-Disposition: form-data; name=logo; filename*=utf-9''%zz\r\nContent-Type: a/b; =\r\n\r\n\r\n--x--",
)
TYPES = (
    *("application/json", "application/json; charset=utf-16", "text/csv"),
    *(
        "text/csv; charset=zz",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 300,
    ),
    *("application/x-www-form-urlencoded", "text/plain", "", "/", "a/b; ;;=", "application/problem+json", "é/é"),
)
SEGMENTS = (
    *("..", "%2e%2e", "%2e%2e%2f", "%00", "%", "%zz", "%ff", "%c0%af", "%0d%0aX:y", ";a=b", "'", "\\", "%5c", "~", "*"),
    *(
        "a" * 3_000,
        "%u0041",
        "é",
        "%F0%9F%92%A9",
        "-1",
        "0",
        AN_ID.upper(),
        "0" * 32,
        "null",
        "ticket",
        "bulk",
        "%20",
        ".git",
    ),
)
HEADERS: Sequence[tuple[str, Sequence[str]]] = (
    ("Prefer", ("wait=0", "wait=-1", "wait=99999999999999999999", "wait=a", "wait", "wait=1;wait=2", ",,,", "é")),
    ("Range", ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=a-b", "bytes=" + "0-1," * 500, "bytes=9999999999999999-")),
    ("If-None-Match", ("*", '"a"', 'W/"a"', '"' * 50, ",".join(f'"{n}"' for n in range(500)), "é")),
    ("If-Range", ('"a"', "Wed, 21 Oct 2026 07:28:00 GMT", "x" * 200)),
    ("Idempotency-Key", ("k", "a" * 255, "a" * 256, "é", "\t", "a b", "")),
    ("Accept", ("*/*", "image/png", "image/*;q=0", "a/b;q=nan", "text/html;q=1e9", "," * 300, "*/*;q=" + "9" * 300)),
    ("Accept-Language", ("en", "," * 200)),
    ("Accept-Encoding", ("gzip", "br;q=0", "identity;q=0, *;q=0")),
    ("Content-Encoding", ("gzip", "deflate", "zstd", "gzip, gzip")),
    ("X-Request-ID", ("a" * 128, "a" * 129, "\x1b[31m", "a b", "é")),
    ("X-Forwarded-For", ("127.0.0.1", "1.2.3.4, 5.6.7.8", "'", "::1", "a" * 2_000)),
    ("X-Forwarded-Host", ("evil.example", "a\\b")),
    ("X-Forwarded-Proto", ("https", "gopher")),
    ("X-HTTP-Method-Override", ("DELETE",)),
    ("Origin", ("null", "https://evil.example", "https://[", "http://a:b:c", "é")),
    ("Cookie", ("a=b; " * 200, "=", "é=é")),
    ("User-Agent", ("", "Googlebot", "a" * 4_000, "é", "Mozilla/5.0 (" + "(" * 1_000)),
    ("Expect", ("100-continue",)),
    ("Upgrade", ("websocket", "h2c")),
    ("Sec-WebSocket-Version", ("13", "99")),
    ("Sec-WebSocket-Key", ("dGhlIHNhbXBsZSBub25jZQ==", "x")),
    ("Forwarded", ("for=1.2.3.4;host=evil",)),
    ("Host", ("evil.example", "[::1", "a:b:c", "127.0.0.1:99999999", "", "a b")),
)  # fmt: skip
SCHEMES = ("Bearer ", "bearer ", "Basic ", "Bearer", "Bearer  ", "Token ", "Bearer\t", "")
TOKENS = (
    "x",
    "a.b.c",
    "eyJhbGciOiJub25lIn0.e30.",
    "wm_" + "0" * 12 + "_" + "0" * 64,
    "wm_",
    "é",
    "." * 5_000,
    "=" * 50,
    "\x01",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "CONNECT", "GETS")
QUERIES = (
    *(
        "limit",
        "cursor",
        "q",
        "tag",
        "period",
        "tz",
        "size",
        "format",
        "error_correction",
        "partial",
        "since",
        "ticket",
    ),
    *("signature", "expires", "status", "active", "scan_type", "action", "actor"),
)


def hostile(dice: Random, world: World) -> Request:
    """The next request."""
    make: Callable[[Random, World], Request] = dice.choices((of_the_service, of_a_path, of_http), (84, 8, 8))[0]
    return make(dice, world)


def of_the_service(dice: Random, world: World) -> Request:
    """An operation that there is, with something wrong with it, or nothing."""
    method, template = dice.choice(world.operations)
    if dice.random() < 0.06:
        method = dice.choice(METHODS)
    path = re.sub(r"\{(\w+)\}", lambda found: _named(dice, world, found[1]), template)
    return _request(dice, world, method, path + _query(dice), _body(dice, template, method))


def of_a_path(dice: Random, world: World) -> Request:
    """Somewhere that is nowhere."""
    _, template = dice.choice(world.operations)
    parts = [dice.choice(SEGMENTS) if "{" in part else part for part in template.split("/")]
    for _ in range(dice.randint(0, 3)):
        parts.insert(dice.randint(0, len(parts)), dice.choice(SEGMENTS))
    path = dice.choice(("/", "//", "/./", "/;/")).join(parts) or "/"
    if dice.random() < 0.02:
        path = "/" + "a/" * 32_000
    if not path.startswith("/"):
        path = "/" + path
    return _request(dice, world, dice.choice(METHODS), path + _query(dice), b"")


LINES: Sequence[bytes] = (
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"get /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://evil.example/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: a\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 2_000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET /\x00\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"A" * 5_000 + b" / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"\r\n\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
)
FRAMES: Sequence[bytes] = (
    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 9_000 + b"\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}",
    b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 3_000 + b"0\r\nX: y\r\n\r\n",
    b"Content-Length: -1\r\n\r\n{}",
    b"Content-Length: 1e3\r\n\r\n{}",
    b"Content-Length: 99999999999999999999\r\n\r\n{}",
    b"Content-Length: 100\r\n\r\n{}",
    b"Content-Length: +2\r\n\r\n{}",
    b"Content-Length: 2\r\n\r\n{}GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"Content-Length: \xb2\r\n\r\n{}",
)


def of_http(dice: Random, world: World) -> Request:
    """What is not HTTP, or says two things at once about where it ends."""
    if dice.random() < 0.4:
        return Request(dice.choice(LINES), "GET", "", is_http=False)
    method, path = dice.choice((("POST", "/scan"), ("POST", "/auth/login"), ("GET", "/healthz"), ("POST", "/generate")))
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{_authorization(dice, world)}"
    return Request(head.encode("latin-1", "replace") + dice.choice(FRAMES), method, path, is_http=False)


def _named(dice: Random, world: World, name: str) -> str:
    there = world.ids.get(name, ())
    return (
        dice.choice(there)
        if there and dice.random() < 0.8
        else dice.choice((*SEGMENTS, str(UUID(int=dice.getrandbits(128)))))
    )


def _query(dice: Random) -> str:
    if dice.random() < 0.6:
        return ""
    values = (
        "",
        "1",
        "0",
        "-1",
        "9" * 400,
        "png",
        "7d",
        "%00",
        "%ff",
        "true",
        "é",
        "%27",
        "a" * 600,
        "Europe/Amsterdam",
        AN_ID,
    )
    return "?" + "&".join(f"{dice.choice(QUERIES)}={dice.choice(values)}" for _ in range(dice.randint(1, 4)))


def _body(dice: Random, template: str, method: str) -> bytes:
    if method in ("GET", "HEAD", "DELETE", "OPTIONS") and dice.random() < 0.95:
        return b""
    known = next((body for end, body in BODIES.items() if template.endswith(end)), {})
    roll = dice.random()
    if roll < 0.3:
        return dice.choice(RAW_BODIES if dice.random() < 0.3 else RAW_BODIES[:11])
    if roll < 0.38:
        return dice.choice(MULTIPART)
    told = dict(known)
    if roll < 0.9 or template.startswith("/auth/"):  # each that is right costs a hash there
        name = dice.choice((*told, "role", "org_id", "id", "__proto__", "__class__"))
        told[name] = dice.choice(VALUES)
    return json.dumps(told).encode()


def _authorization(dice: Random, world: World) -> str:
    roll = dice.random()
    if roll < 0.8:
        return f"Authorization: Bearer {world.credentials[dice.choice(tuple(world.credentials))]}\r\n"
    if roll < 0.9:
        return ""
    return f"Authorization: {dice.choice(SCHEMES)}{dice.choice(TOKENS)}\r\n"


def _request(dice: Random, world: World, method: str, path: str, body: bytes) -> Request:
    right = "text/csv" if "/import" in path else "multipart/form-data; boundary=x" if path.endswith("/logo") else JSON
    chosen = {"Host": "waymark.example", "Content-Type": right if dice.random() < 0.8 else dice.choice(TYPES)}
    for name, values in dice.sample(HEADERS, dice.choice((0, 0, 0, 1, 2, 4))):
        chosen[name] = dice.choice(values)
    if method == "TRACE" or body or "Content-Length" in chosen:
        chosen["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in chosen.items() if value or name != "Content-Type")
    line = f"{method} {path} HTTP/1.1\r\n"
    data = f"{line}{head}{_authorization(dice, world)}\r\n".encode("utf-8", "surrogatepass") + body
    return Request(data, method, path)
