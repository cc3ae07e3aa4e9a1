"""Settings: one frozen object from the environment. Startup fails with the name of a wrong variable."""

import re
from functools import cache, cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared import store_urls
from shared.settings_checks import find_conflicts, find_production_errors
from shared.validation_messages import errors_of

SigningAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


class SettingsError(SystemExit):
    """The settings are invalid. The message names each variable and the values that it accepts."""


def _redis_prefix(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,32}", text):
        raise ValueError("Use 1 to 32 lowercase letters, digits, - or _.")
    return text


def _public_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("Use an http:// or https:// URL without query and fragment.")
    return url.rstrip("/")


def as_origin(url: str) -> str:
    """Return scheme, host and port as browsers send them (RFC 6454, 6.2): lower case, without a default port."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("Use origins such as https://game.example, separated by commas.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _limit(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8} per ([1-9][0-9]{0,3} )?(second|minute|hour|day)s?", text):
        raise ValueError('Use a limit such as "10 per minute" or "100 per 5 minutes".')
    return text


def _code_path(template: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/\{(code|slug)\}", template):
        raise ValueError("Use paths such as /q/{code} or /qr/b/{slug}, separated by commas.")
    return template


def _tile_template(template: str) -> str:
    # Without a placeholder in the host, it is one origin, which the policy of a page can name.
    is_template = re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/([A-Za-z0-9._~%/?&=@+-]|\{[xyz]\})+", template)
    if template and not (is_template and all(template.count(name) == 1 for name in ("{z}", "{x}", "{y}"))):
        raise ValueError("Use an https:// URL with {z}, {x} and {y} in its path, and no other placeholder.")
    return template


def _backup_target(place: str) -> str:
    if "://" in place and not place.startswith("s3://"):
        raise ValueError("Use a directory, or s3://bucket/prefix.")
    return place


def _host_and_port(text: str) -> str:
    if not re.fullmatch(r"[^/\s]+:[0-9]{1,5}", text):
        raise ValueError("Use a host and a port, such as 127.0.0.1:50051.")
    return text


RateLimit = Annotated[str, AfterValidator(_limit)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
BackupTarget = Annotated[str, AfterValidator(_backup_target)]


class Settings(BaseSettings):
    """All settings. A field has the name of its environment variable, in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    waymark_env: Literal["development", "production"] = "development"
    database_url: Annotated[SecretStr, AfterValidator(store_urls.postgres_url)]
    database_direct_url: Annotated[
        Annotated[SecretStr, AfterValidator(store_urls.postgres_url)] | None, BeforeValidator(_none_if_empty)
    ] = None
    database_read_url: Annotated[
        Annotated[SecretStr, AfterValidator(store_urls.postgres_url)] | None, BeforeValidator(_none_if_empty)
    ] = None
    database_prepared: bool = True
    redis_url: Annotated[SecretStr, AfterValidator(store_urls.redis_url)]
    redis_tls_verify: bool = True
    redis_connections: int = Field(100, ge=2, le=10_000)
    broker_url: Annotated[
        Annotated[SecretStr, AfterValidator(store_urls.broker_url)] | None, BeforeValidator(_none_if_empty)
    ] = None
    redis_prefix: Annotated[str, AfterValidator(_redis_prefix)] = "waymark"
    jwt_secret: SecretStr
    host: str = "0.0.0.0"  # noqa: S104 - behind a platform's router; script/server sets 127.0.0.1
    port: int = Field(8000, ge=1, le=65535)
    shutdown_notice_seconds: int = Field(2, ge=0, le=60)
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(as_origin)], ...], NoDecode, BeforeValidator(_split_commas)
    ] = ()
    trusted_proxies: int = Field(0, ge=0, le=10)
    log_format: Literal["json", "console"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    heartbeat_dir: Annotated[DirectoryPath | None, BeforeValidator(_none_if_empty)] = None
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[Annotated[int, Field(ge=1, le=65535)] | None, BeforeValidator(_none_if_empty)] = None
    metrics_dir: Annotated[DirectoryPath | None, BeforeValidator(_none_if_empty)] = None
    metrics_token: Annotated[SecretStr | None, BeforeValidator(_none_if_empty)] = None
    waymark_revision: str = Field("", max_length=100)

    access_token_minutes: int = Field(15, ge=1, le=24 * 60)
    refresh_token_days: int = Field(30, ge=1, le=365)
    password_hash_concurrency: int = Field(1, ge=1, le=64)

    pages: bool = True
    pwa: bool = True
    imprint: str = Field("", max_length=10_000)
    map_tiles: Annotated[str, AfterValidator(_tile_template)] = ""
    map_attribution: str = Field("", max_length=1_000)
    request_read_timeout_seconds: float = Field(30, gt=0, le=600)
    request_min_bytes_per_second: int = Field(16_384, ge=1)
    rate_limits_enabled: bool = True
    rate_limit_default: RateLimit = "600 per minute"
    rate_limit_anonymous: RateLimit = "300 per minute"
    rate_limit_websocket_ticket: RateLimit = "3000 per minute"
    rate_limit_login: RateLimit = "60 per minute"
    rate_limit_login_per_username_and_address: RateLimit = "10 per 5 minutes"
    rate_limit_login_per_username: RateLimit = "1000 per hour"
    rate_limit_guest: RateLimit = "300 per minute"
    rate_limit_page: RateLimit = "3000 per minute"
    rate_limit_register: RateLimit = "60 per minute"
    rate_limit_refresh: RateLimit = "30 per minute"
    rate_limit_scan: RateLimit = "120 per minute"
    rate_limit_generate: RateLimit = "60 per minute"
    rate_limit_render: RateLimit = "30 per minute"
    rate_limit_image: RateLimit = "600 per minute"
    rate_limit_invitation: RateLimit = "30 per minute"
    rate_limit_api_key: RateLimit = "6000 per minute"

    external_auth_issuer: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    external_auth_without_issuer: bool = False
    external_auth_audience: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    external_auth_keys_file: Annotated[FilePath | None, BeforeValidator(_none_if_empty)] = None
    external_auth_secret: Annotated[SecretStr | None, BeforeValidator(_none_if_empty)] = None
    external_auth_algorithms: Annotated[tuple[SigningAlgorithm, ...], NoDecode, BeforeValidator(_split_commas)] = ()
    external_auth_subject_claim: str = Field("sub", min_length=1, max_length=100)
    external_auth_link_existing_players: bool = False

    max_websockets: int = Field(2_000, ge=0, le=20_000)
    max_websockets_per_client: int = Field(8, ge=1, le=20_000)
    max_websockets_per_address: int = Field(500, ge=1, le=20_000)
    organization_creation: Literal["everyone", "accounts", "operators"] = "accounts"
    max_organizations_per_account: int = Field(20, ge=0)
    max_codes_per_organization: int = Field(250_000, ge=0)
    max_api_keys_per_organization: int = Field(100, ge=0)
    max_quests_per_organization: int = Field(100, ge=0)
    max_files_mb_per_organization: int = Field(10_000, ge=0)
    max_generated_codes_per_player: int = Field(1_000, ge=0)
    max_generated_mb_per_player: int = Field(100, ge=0)

    database_pool_size: int = Field(12, ge=1, le=200)
    worker_threads: int = Field(4, ge=1, le=64)
    worker_processes: int = Field(1, ge=1, le=64)
    bulk_threads: int = Field(8, ge=1, le=64)
    bulk_processes: int = Field(1, ge=1, le=64)

    extra_code_paths: Annotated[
        tuple[Annotated[str, AfterValidator(_code_path)], ...], NoDecode, BeforeValidator(_split_commas)
    ] = ()
    scan_default_wait: float = Field(0, ge=0, le=10)
    scan_max_age_hours: float = Field(72, gt=0, le=24 * 90)
    scan_max_accuracy_m: float = Field(100, gt=0)
    scan_max_speed_mps: float = Field(300, gt=0)
    scan_lease_seconds: float = Field(10, gt=0, le=60)
    pending_poll_seconds: float = Field(5, gt=0, le=30)
    event_retention_days: int = Field(30, ge=1)
    leader_silence_seconds: float = Field(15, ge=5, le=300)

    rollup_interval_seconds: float = Field(5, gt=0, le=60)
    visit_retention_days: int = Field(400, ge=1)

    generate_requires_auth: bool = True

    waymark_data: Path = Path(".waymark")
    files_dir: Annotated[Path | None, BeforeValidator(_none_if_empty)] = None
    files_s3_bucket: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    files_s3_endpoint: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    files_s3_region: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    render_retention_days: int = Field(7, ge=1, le=365)
    render_lease_seconds: float = Field(30, ge=1, le=600)

    otel_exporter_otlp_endpoint: Annotated[str | None, BeforeValidator(_none_if_empty)] = None
    sentry_dsn: Annotated[SecretStr | None, BeforeValidator(_none_if_empty)] = None

    backup_target: Annotated[BackupTarget | None, BeforeValidator(_none_if_empty)] = None
    backup_hour: int = Field(3, ge=0, le=23)
    backup_keep: int = Field(7, ge=1, le=10_000)
    backup_drill_url: Annotated[
        Annotated[SecretStr, AfterValidator(store_urls.postgres_url)] | None, BeforeValidator(_none_if_empty)
    ] = None

    grpc_server_url: HostAndPort = "127.0.0.1:50051"
    grpc_listen: HostAndPort | None = None
    grpc_deadline_seconds: float = Field(1, gt=0, le=30)
    grpc_cache_ttl_seconds: float = Field(60, ge=0, le=3600)
    grpc_cache_stale_hours: float = Field(24, ge=0, le=24 * 30)
    grpc_tls: bool = False
    grpc_ca_file: Annotated[FilePath | None, BeforeValidator(_none_if_empty)] = None
    grpc_cert_file: Annotated[FilePath | None, BeforeValidator(_none_if_empty)] = None
    grpc_key_file: Annotated[FilePath | None, BeforeValidator(_none_if_empty)] = None
    grpc_token: SecretStr | None = None
    signin_quest: str = Field("sign-in-three-times", min_length=1, max_length=200)
    track_requires_key: bool = False
    track_organizations: Annotated[tuple[UUID, ...], NoDecode, BeforeValidator(_split_commas)] = ()
    signup_quest: str = Field("sign-up", min_length=1, max_length=200)

    cache_max_mb: int = Field(64, ge=1, le=65_536)
    cache_max_entry_kb: int = Field(512, ge=1, le=65_536)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        messages = [*find_conflicts(self), *(find_production_errors(self) if self.is_production else ())]
        if messages:
            raise ValueError("\n".join(f"{message}." for message in messages))
        return self

    @property
    def external_auth_allowed_algorithms(self) -> tuple[SigningAlgorithm, ...]:
        """Return the signing algorithms that tokens of the external issuer may use."""
        return self.external_auth_algorithms or (
            ("HS256",) if self.external_auth_secret else ("RS256", "ES256", "EdDSA")
        )

    @property
    def direct_database_url(self) -> SecretStr:
        """Return the URL of PostgreSQL without a pooler between: DATABASE_DIRECT_URL, else DATABASE_URL."""
        return self.database_direct_url or self.database_url

    @property
    def uses_rabbitmq(self) -> bool:
        """Return whether messages are sent through RabbitMQ, and not through Redis."""
        return self.broker_url is not None and store_urls.is_amqp_url(self.broker_url.get_secret_value())

    @property
    def broker_is_redis_url(self) -> bool:
        """Return whether messages are sent through the Redis of REDIS_URL."""
        return self.broker_url in (None, self.redis_url)

    @property
    def drill_server_url(self) -> SecretStr:
        """Return the URL of the server on which drills restore: BACKUP_DRILL_URL, else the installation's own."""
        return self.backup_drill_url or self.direct_database_url

    @property
    def is_production(self) -> bool:
        return self.waymark_env == "production"

    @property
    def public_base_url(self) -> str:
        """Return PUBLIC_URL, to which printed codes lead, without a slash at its end."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    @cached_property
    def extra_code_path_prefixes(self) -> tuple[str, ...]:
        """Return EXTRA_CODE_PATHS without the placeholders: /q, /qr/b."""
        return tuple(template.rpartition("/")[0] for template in self.extra_code_paths)

    @property
    def files_path(self) -> Path:
        """Return the directory of stored files. Not used if a bucket is set."""
        return self.files_dir or self.waymark_data / "files"

    @property
    def sends_grpc_token_in_clear(self) -> bool:
        """Return whether GRPC_TOKEN is sent to another host without TLS."""
        host = self.grpc_server_url.rpartition(":")[0]
        return bool(self.grpc_token) and not self.grpc_tls and not _is_loopback(host)

    @property
    def catalog_listen_address(self) -> str:
        """Return the address of Waymark's catalog server: GRPC_LISTEN, else GRPC_SERVER_URL."""
        return self.grpc_listen or self.grpc_server_url

    @property
    def json_logs(self) -> bool:
        return self.log_format == "json" or (self.log_format is None and self.is_production)


def find_errors() -> list[str]:
    """Return a line for each missing, wrong or conflicting variable of the environment."""
    try:
        Settings()
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, loc)).upper() or 'environment'}: {line}"
            for loc, message in errors_of(error)
            for line in message.splitlines()
        ]
    return []


@cache
def settings() -> Settings:
    """Return the settings of this process. Raises SettingsError, which exits, for a missing or wrong variable."""
    if errors := find_errors():
        raise SettingsError("\n  ".join(["Waymark cannot start with these settings:", *errors]))
    return Settings()
