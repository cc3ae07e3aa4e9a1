"""The manifests satisfy the schemas of Kubernetes and KEDA, and name commands, probes and settings that exist."""

import re
import secrets
import shlex
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from script.stack.procfile import read_procfile
from shared.settings import Settings
from tests.kubernetes.conftest import CHECKOUT, Manifest, workloads
from web.app import create_app
from workers.metrics_server import MetricsServer

VERSIONS = (pytest.param("1.30", marks=pytest.mark.long), pytest.param("1.34", marks=pytest.mark.long), "1.37")
"""From the oldest with `preStop.sleep` by default to a recent one."""
NOT_KUBERNETES = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
SECRETS = {"DATABASE_URL", "REDIS_URL", "JWT_SECRET"}
"""Settings without a default, which docs/kubernetes.md stores in the Secret."""
PROCFILE = read_procfile(CHECKOUT / "Procfile")


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_satisfy_the_schemas_of_kubernetes(overlay: list[Manifest], version: str) -> None:
    for manifest in overlay:
        if manifest["kind"] not in NOT_KUBERNETES:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_misspelled_field_is_noticed(overlay: list[Manifest]) -> None:
    """The negative control."""
    (web,) = [each for each in overlay if each["kind"] == "Deployment" and each["metadata"]["name"] == "web"]
    web = {**web, "spec": {**web["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, "1.37", strict=True)


def unknown_fields(given: Any, known: Any) -> set[str]:
    """Return the names of fields that a model did not take over."""
    if isinstance(given, dict):
        missing: set[str] = given.keys() - known.keys()
        return missing.union(*(unknown_fields(given[name], known[name]) for name in given.keys() & known.keys()))
    if isinstance(given, list):
        return set[str]().union(*map(unknown_fields, given, known))
    return set()


def test_scalers_satisfy_the_schemas_of_keda(rendered: dict[str, list[Manifest]]) -> None:
    found = [each for each in rendered["production"] if each["kind"] in ("ScaledObject", "TriggerAuthentication")]
    assert len(found) == 3
    for manifest in found:
        model = getattr(keda, manifest["kind"]).model_validate(manifest)
        known = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        # The models are those of KEDA 2.16. `fallback.behavior` came with 2.17.
        assert unknown_fields(manifest, known) <= {"behavior"}
    assert unknown_fields({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}) == {"c"}


def test_alerts_are_those_of_prometheus(rendered: dict[str, list[Manifest]]) -> None:
    (rules,) = [each["spec"] for each in rendered["production"] if each["kind"] == "PrometheusRule"]
    assert rules == yaml.safe_load((CHECKOUT / "monitoring" / "rules" / "waymark.yml").read_text())


def test_every_pod_is_unprivileged_and_read_only(overlay: list[Manifest]) -> None:
    pods = workloads(overlay)
    assert pods.keys() == PROCFILE.keys()
    for name, pod in pods.items():
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False), name
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"].keys() == {"requests", "limits"}, name
            assert container["resources"]["limits"].keys() == {"memory"}, name
        mounts = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert mounts == {"/tmp", "/var/lib/waymark", "/run/waymark", "/run/metrics"}, name  # noqa: S108


def test_stores_of_the_trial_are_unprivileged(rendered: dict[str, list[Manifest]]) -> None:
    stores = [each["spec"]["template"]["spec"] for each in rendered["trial"] if each["kind"] == "StatefulSet"]
    assert len(stores) == 2
    for pod in stores:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", PROCFILE)
def test_pods_run_the_commands_of_the_procfile(overlay: list[Manifest], name: str) -> None:
    """The settings in a command have their defaults. Workers also get the time to finish that the pod has."""
    command = shlex.split(re.sub(r"\$\{\w+:-(\w+)}", r"\1", PROCFILE[name]))
    if name in ("worker", "bulk"):
        command += ["--worker-shutdown-timeout", "30000"]
    assert workloads(overlay)[name]["containers"][0]["command"] == command


def test_all_but_the_release_wait_for_the_schema(overlay: list[Manifest]) -> None:
    for name, pod in workloads(overlay).items():
        waits = [container["command"] for container in pod.get("initContainers", ())]
        wait = ["python", "-m", "shared.infra.health", "--only", "postgresql,migrations", "--wait", "300"]
        assert waits == ([] if name == "release" else [wait]), name


def test_probes_name_ports_and_paths_that_exist(overlay: list[Manifest]) -> None:
    routes, server = create_app().url_map.bind("127.0.0.1"), MetricsServer("127.0.0.1", 0)
    server.server_close()
    found = set()
    for name, pod in workloads(overlay).items():
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        assert {"web": {"http": 8000}, "catalog": {"grpc": 50051, "metrics": 9100}, "release": {}}.get(
            name, {"metrics": 9100}
        ) == ports
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "grpc" in (check := container.get(probe, {})):
                assert check["grpc"]["port"] == ports["grpc"]
            elif "httpGet" in check:
                path = check["httpGet"]["path"].partition("?")[0]
                assert check["httpGet"]["port"] in ports
                assert routes.match(path, "GET") if name == "web" else path in server.views
            elif check:
                raise AssertionError(f"{name}: {check}")
            found |= {(name, probe)} if check else set()
    assert {(name, "livenessProbe") for name in PROCFILE.keys() - {"release"}} <= found
    assert {("web", "startupProbe"), ("web", "readinessProbe")} <= found


def test_pods_have_more_time_to_end_than_their_processes_need(overlay: list[Manifest]) -> None:
    pods = workloads(overlay)
    assert pods["web"]["terminationGracePeriodSeconds"] >= 10 + 10 + 8
    assert all(pods[name]["terminationGracePeriodSeconds"] >= 30 + 10 for name in ("worker", "bulk"))


def test_every_value_of_the_configuration_is_a_setting(overlay: list[Manifest]) -> None:
    (configuration,) = [each["data"] for each in overlay if each["kind"] == "ConfigMap"]
    names = {name.upper() for name in Settings.model_fields} | {"WEB_CONCURRENCY"}
    assert configuration.keys() <= names
    required = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    assert required == SECRETS
    documented = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    assert all(f"--from-literal={name}=" in documented for name in SECRETS)


def test_settings_are_accepted_with_the_secrets_of_the_documentation(
    overlay: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    (configuration,) = [each["data"] for each in overlay if each["kind"] == "ConfigMap"]
    monkeypatch.setenv("WAYMARK_ENV", "production")
    monkeypatch.setenv("JWT_SECRET", secrets.token_hex(32))
    for name, value in configuration.items():
        monkeypatch.setenv(name, value)
    Settings()
