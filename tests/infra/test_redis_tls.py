"""Redis and its sentinels over TLS: only a certificate that is trusted is accepted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from script.stack.files import temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.redis import find_binary
from shared.infra.redis import make_client
from shared.settings import settings
from tests.support.certificates import self_signed_certificate
from tests.support.polling import eventually
from tests.support.redis_sentinel import MASTER, RedisNode

TLS = """
bind {address}
port 0
tls-port {port}
tls-cert-file {certificate}
tls-key-file {certificate}
tls-ca-cert-file {certificate}
tls-auth-clients no
tls-replication yes
dir {folder}
"""
SENTINEL = "sentinel monitor {master} {address} {master_port} 1\n"


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    with temporary_directory("waymark-tls-") as folder:
        yield self_signed_certificate(folder)


@pytest.fixture(scope="module")
def ports(certificate: Path) -> Iterator[tuple[int, int]]:
    """The ports of a master and of a sentinel."""
    folder, ports = certificate.parent, (free_port(), free_port())
    nodes = []
    try:
        for port, more, arguments in ((ports[0], 'save ""\n', ()), (ports[1], SENTINEL, ("--sentinel",))):
            config = (TLS + more).format(
                address=LOOPBACK,
                port=port,
                certificate=certificate,
                folder=folder / str(port),
                master=MASTER,
                master_port=ports[0],
            )
            nodes.append(node := RedisNode(find_binary(), folder / str(port), config, *arguments))
            address = {"host": LOOPBACK, "port": port, "ssl": True, "ssl_ca_certs": str(certificate)}
            eventually(lambda node=node, address=address: node.process.poll() is not None or answers(**address))  # type: ignore[misc]
            if node.process.poll() is not None:
                pytest.skip("this Redis has no TLS (apt-get install redis-server)")
        yield ports
    finally:
        for node in nodes:
            node.kill()


def answers(**options: object) -> bool:
    with redis.Redis(**options) as client:  # type: ignore[arg-type]
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel"])
def test_certificate_must_be_trusted(
    scheme: str, ports: tuple[int, int], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = f"{LOOPBACK}:{ports[0]}" if scheme == "rediss" else f"{LOOPBACK}:{ports[1]}/{MASTER}"
    monkeypatch.setenv("REDIS_URL", f"{scheme}://{hosts}/0")
    settings.cache_clear()
    try:
        with pytest.raises(redis.ConnectionError):
            make_client().ping()
        with monkeypatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(certificate))
            assert make_client().ping()
        monkeypatch.setenv("REDIS_TLS_VERIFY", "false")
        settings.cache_clear()
        assert make_client().ping()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
