"""Attacks on metrics: read those of an installation, and fill its memory with labels."""

from collections.abc import Container
from unittest.mock import patch
from uuid import uuid4

from prometheus_client import REGISTRY
from pydantic import SecretStr

from shared.infra import metrics
from shared.settings import settings
from tests.security.attack import Attack, Scene, replaced
from web.api import metrics as metrics_api
from web.http import request_metrics


class Everything(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


def metrics_without_token(scene: Scene) -> bool:
    """Return True if a guess at METRICS_TOKEN shows how much the installation is used."""
    required = settings().model_copy(update={"metrics_token": SecretStr("6f1ad0c94b7e52d8")})
    with patch.object(metrics_api, "current_settings", lambda: required):
        return scene.lets("GET", "/metrics", Authorization="Bearer 6f1ad0c94b7e52d9")


def labels_of_a_client(scene: Scene) -> bool:
    """Return True if each request can add a time series, by its path or by its method."""
    made_up = uuid4().hex.upper()
    scene.ask(made_up, f"/{made_up}")
    metrics.flush()
    labels = [sample.labels for family in REGISTRY.collect() for sample in family.samples]
    return any(made_up in value for values in labels for value in values.values())


ATTACKS = [
    Attack(
        "metrics read without METRICS_TOKEN",
        metrics_without_token,
        replaced(metrics_api, "compare_digest", lambda *_: True),
    ),
    Attack("a time series for each request", labels_of_a_client, replaced(request_metrics, "METHODS", Everything())),
]
