"""URLs of stores: checked when a process starts, and split into their parts."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379


@dataclass(frozen=True)
class SentinelUrl:
    """The parts of a redis+sentinel:// URL: the sentinels, and the master that they name."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None
    has_tls: bool


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Return the parts of `redis+sentinel://[user]:password@host:26379,host:26379/master/0?sentinel_password=…`.

    Raise ValueError if the URL has another form.
    """
    parts = urlsplit(url)
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    path = re.fullmatch(r"/([^/]+)(?:/([0-9]{1,4}))?/?", parts.path)
    addresses = [re.fullmatch(r"(\[[^][]+]|[^][:]+)(?::([0-9]{1,5}))?", host) for host in hosts.split(",")]
    query = parse_qs(parts.query)
    if (
        parts.scheme not in SENTINEL_SCHEMES
        or path is None
        or "@" in userinfo
        or not query.keys() <= {"sentinel_username", "sentinel_password"}
    ):
        raise ValueError("Use redis+sentinel://host:26379/master/0.")
    sentinels = []
    for address in addresses:
        if address is None:
            raise ValueError("A sentinel is a host and a port.")
        sentinels.append((address[1].strip("[]"), int(address[2] or SENTINEL_PORT)))
    return SentinelUrl(
        sentinels=tuple(sentinels),
        master=unquote(path[1]),
        database=int(path[2] or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username", [None])[-1],
        sentinel_password=query.get("sentinel_password", [None])[-1],
        has_tls=parts.scheme.startswith("rediss"),
    )


def postgres_url(url: SecretStr) -> SecretStr:
    """Return the URL for libpq. Raise ValueError if it is not one of PostgreSQL."""
    raw = url.get_secret_value()
    if raw.startswith("postgres://"):  # as on Heroku
        raw = raw.replace("postgres://", "postgresql://", 1)
    if not raw.startswith("postgresql://"):
        raise ValueError("Use a postgresql:// URL.")
    # Otherwise libpq takes part of a password for a host or a port, and its error messages name it.
    userinfo, _, hosts = re.split("[/?#]", raw.removeprefix("postgresql://"), maxsplit=1)[0].rpartition("@")
    if "@" in userinfo or not all(re.fullmatch(r"(\[[^][]*]|[^][:]*)(:[0-9]*)?", host) for host in hosts.split(",")):
        raise ValueError("Use a postgresql:// URL with a percent-encoded password.")
    return SecretStr(raw)


def redis_url(url: SecretStr) -> SecretStr:
    """Return the URL. Raise ValueError if it is not one of Redis or of its sentinels."""
    raw = url.get_secret_value()
    if is_sentinel_url(raw):
        try:
            parse_sentinel_url(raw)
        except ValueError:
            # The message of the cause could name a part of a password.
            raise ValueError("Use redis+sentinel://host:26379,host:26379/master/0, as in .env.example.") from None
    elif not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("Use a redis://, rediss://, unix:// or redis+sentinel:// URL.")
    return url


def broker_url(url: SecretStr) -> SecretStr:
    """Return the URL. Raise ValueError if it is not one of Redis or of RabbitMQ's nodes, separated by `;`."""
    raw = url.get_secret_value()
    if is_amqp_url(raw):
        if not all(is_amqp_url(node) and _has_address(node) for node in raw.split(";")):
            raise ValueError("Use amqp:// or amqps:// URLs, separated by semicolons.")
        return url
    try:
        return redis_url(url)
    except ValueError:
        raise ValueError("Use a URL as in REDIS_URL, or an amqp:// or amqps:// URL.") from None


def is_sentinel_url(url: str) -> bool:
    return url.startswith(tuple(f"{scheme}:" for scheme in SENTINEL_SCHEMES))


def is_amqp_url(url: str) -> bool:
    return url.startswith(("amqp://", "amqps://"))


def _has_address(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        return False
