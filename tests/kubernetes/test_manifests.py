"""The manifests satisfy the schemas of Kubernetes and KEDA, and name commands, probes and settings that exist."""

import re
import secrets
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from script.stack.running_server import CHECKOUT
from shared.settings import Settings
from tests.kubernetes.conftest import PROCFILE, Manifest, copy_with_components, only, pods, render, workloads
from web.app import create_app
from workers.metrics_server import MetricsServer

NEWEST = "1.37"
VERSIONS = (pytest.param("1.30", marks=pytest.mark.long), pytest.param("1.34", marks=pytest.mark.long), NEWEST)
"""From the oldest with `preStop.sleep` by default to a recent one."""
NOT_KUBERNETES = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
SECRETS = {"DATABASE_URL", "REDIS_URL", "JWT_SECRET"}
"""Settings without a default, which docs/kubernetes.md stores in the Secret."""
DOCUMENTATION = (CHECKOUT / "docs" / "kubernetes.md").read_text()


def assert_valid(overlay: list[Manifest], version: str) -> None:
    for manifest in overlay:
        if manifest["kind"] not in NOT_KUBERNETES:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_satisfy_the_schemas_of_kubernetes(overlay: list[Manifest], version: str) -> None:
    assert_valid(overlay, version)


@pytest.mark.long
def test_overlays_are_valid_with_and_without_components(production: list[Manifest], tmp_path: Path) -> None:
    """Production as it is, and the trial with each component."""
    plain = render(CHECKOUT / "kubernetes" / "overlays" / "production")
    trial = render(copy_with_components(tmp_path) / "trial")
    assert_valid([each for each in plain if each not in production], NEWEST)
    assert_valid(trial, NEWEST)
    assert pods(trial).keys() == pods(production).keys() > pods(plain).keys() == PROCFILE.keys()


def test_misspelled_field_is_noticed(production: list[Manifest]) -> None:
    """The negative control."""
    web = only(production, "Deployment", "web")
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


def test_scalers_satisfy_the_schemas_of_keda(production: list[Manifest]) -> None:
    # The import takes two seconds.
    from cloudcoil.models.keda import v1alpha1 as keda

    found = [each for each in production if each["kind"] in ("ScaledObject", "TriggerAuthentication")]
    assert len(found) == 4
    for manifest in found:
        model = getattr(keda, manifest["kind"]).model_validate(manifest)
        known = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        # The models are those of KEDA 2.16. `fallback.behavior` came with 2.17.
        assert unknown_fields(manifest, known) <= {"behavior"}
    assert unknown_fields({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}) == {"c"}


def test_alerts_are_those_of_prometheus(rendered: dict[str, list[Manifest]]) -> None:
    rules = {
        each["metadata"]["name"]: each["spec"] for each in rendered["production"] if each["kind"] == "PrometheusRule"
    }
    assert rules == {
        name: yaml.safe_load((CHECKOUT / "monitoring" / "rules" / f"{file}.yml").read_text())
        for name, file in (("waymark", "waymark"), ("waymark-stores", "stores"))
    }


def test_every_pod_is_unprivileged_and_read_only(overlay: list[Manifest]) -> None:
    assert workloads(overlay).keys() == PROCFILE.keys()
    for name, pod in pods(overlay).items():
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
    for name, pod in workloads(overlay).items():
        mounts = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert mounts == {"/tmp", "/var/lib/waymark", "/run/waymark", "/run/metrics"}, name  # noqa: S108


def test_stores_of_the_trial_are_unprivileged(rendered: dict[str, list[Manifest]]) -> None:
    stores = [each["spec"]["template"]["spec"] for each in rendered["trial"] if each["kind"] == "StatefulSet"]
    assert len(stores) == 2
    for pod in stores:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_trial_fits_on_a_laptop(rendered: dict[str, list[Manifest]]) -> None:
    """The pods reserve less than a node of two processors has beside the pods of the cluster."""
    sets = [each["spec"] for each in rendered["trial"] if each["kind"] in ("Deployment", "StatefulSet")]
    assert [each for each in rendered["trial"] if each["kind"] == "HorizontalPodAutoscaler"] == []
    assert all(each.get("replicas", 1) == 1 for each in sets)
    requests = [each["template"]["spec"]["containers"][0]["resources"]["requests"] for each in sets]
    assert sum(int(each["cpu"].removesuffix("m")) for each in requests) <= 1_000
    assert sum(int(each["memory"].removesuffix("Mi")) for each in requests) <= 2_000


@pytest.mark.parametrize("name", PROCFILE)
def test_pods_run_the_commands_of_the_procfile(overlay: list[Manifest], name: str) -> None:
    """The settings in a command have their defaults. Workers also get the time to finish that the pod has."""
    command = shlex.split(re.sub(r"\$\{\w+:-(\w+)}", r"\1", PROCFILE[name]))
    if name in ("worker", "bulk"):
        command += ["--worker-shutdown-timeout", "30000"]
    assert workloads(overlay)[name]["containers"][0]["command"] == command


def test_processes_wait_for_the_schema_and_the_release_for_postgresql(overlay: list[Manifest]) -> None:
    for name, pod in workloads(overlay).items():
        needed = "postgresql" if name == "release" else "postgresql,migrations"
        waits = [container["command"] for container in pod["initContainers"]]
        assert waits == [["python", "-m", "shared.infra.health", "--only", needed, "--wait", "300"]], name


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
                assert probe == "readinessProbe", "pods would restart while PostgreSQL is unavailable"
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
    processes = workloads(overlay)
    assert processes["web"]["terminationGracePeriodSeconds"] >= 10 + 10 + 8
    assert all(processes[name]["terminationGracePeriodSeconds"] >= 30 + 10 for name in ("worker", "bulk"))


def test_every_value_of_the_configuration_is_a_setting(overlay: list[Manifest]) -> None:
    configuration = only(overlay, "ConfigMap", "waymark")["data"]
    names = {name.upper() for name in Settings.model_fields} | {"WEB_CONCURRENCY"}
    assert configuration.keys() <= names
    required = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}
    assert required == SECRETS
    assert all(f"--from-literal={name}=" in DOCUMENTATION for name in SECRETS)


def named_secrets(node: Any) -> set[tuple[str, str]]:
    """Return the name and the key of each Secret that manifests refer to. The key is empty where all are used."""
    if isinstance(node, list):
        return set[tuple[str, str]]().union(*map(named_secrets, node))
    if not isinstance(node, dict):
        return set()
    found = {(str(node["secretName"]), "")} if "secretName" in node else set()
    for key in ("secretRef", "secret", "secretKeyRef", "credentials"):
        if key in node:
            found.add((node[key]["name"], node[key].get("key", "")))
    found |= {(each["name"], each["key"]) for each in node.get("secretTargetRef", ())}
    return found.union(*map(named_secrets, node.values()))


def test_every_secret_is_documented(overlay: list[Manifest]) -> None:
    created = dict(re.findall(r"create secret (?:generic|tls) (\S+)((?: *\\\n|[^\n])*)", DOCUMENTATION))
    named = named_secrets(overlay)
    assert ("waymark", "") in named
    for name, key in named:
        assert name in created, name
        assert not key or f"--from-literal={key}=" in DOCUMENTATION, (name, key)


def test_every_pod_of_waymark_has_the_image_of_the_overlay(overlay: list[Manifest]) -> None:
    """The overlay names the image once."""
    images = {
        container["image"]
        for pod in workloads(overlay).values()
        for container in (*pod["containers"], *pod["initContainers"])
    }
    (image,) = images
    assert re.fullmatch(r"\S+:(trial|\d+\.\d+\.\d+)", image)


def test_sockets_are_served_by_pods_like_those_of_web(production: list[Manifest]) -> None:
    assert pods(production)["web-live"] == pods(production)["web"]
    (rule,) = only(production, "Ingress", "web")["spec"]["rules"]
    assert [(path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"]] == [
        ("/ws", "web-live"),
        ("/", "web"),
    ]
    sockets = {str(each) for each in create_app().url_map.iter_rules() if str(each).startswith("/ws/")}
    assert len(sockets) == 3


def test_selectors_choose_the_pods_of_one_workload(production: list[Manifest]) -> None:
    """Those of Service, Deployment and PodDisruptionBudget."""
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"].items()
        for each in production
        if each["kind"] == "Deployment"
    }
    selectors = [
        (each["metadata"]["name"], each["spec"]["selector"].get("matchLabels", each["spec"]["selector"]))
        for each in production
        if each["kind"] in ("Deployment", "Service", "PodDisruptionBudget")
    ]
    for name, selector in selectors:
        assert [pod for pod, own in labels.items() if selector.items() <= own] == [name]
    assert len(selectors) == 2 * len(labels) + len(("web", "web-live", "catalog", "pgbouncer"))


def test_settings_are_accepted_with_the_secrets_of_the_documentation(
    overlay: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = only(overlay, "ConfigMap", "waymark")["data"]
    monkeypatch.setenv("WAYMARK_ENV", "production")
    monkeypatch.setenv("JWT_SECRET", secrets.token_hex(32))
    for name, value in configuration.items():
        monkeypatch.setenv(name, value)
    Settings()
