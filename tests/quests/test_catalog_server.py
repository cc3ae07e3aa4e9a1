"""The catalog server: a plain client made from the protocol, reflection, health, and the commands."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from shared.quests import definitions, yaml_loader
from shared.quests.definitions import QuestDefinition
from tests.quests.scan_quests import make_quest
from tests.support.command_line import error_of, waymark, waymark_json
from tests.support.factories import make_org
from workers import catalog_server as server

# The contract, word for word.
CONTRACT = """
syntax = "proto3";
package quest;
service QuestService {
  rpc GetQuestInfo (QuestRequest) returns (QuestResponse);
  rpc GetAllQuests (QuestListRequest) returns (QuestListResponse);
}
message QuestRequest { string quest_name = 1; }
message QuestResponse { int32 quest_id = 1; string name = 2; int32 streak = 3; int32 duplication = 4;
  bool auto_claim = 5; Reward rewards = 6; }
message QuestListRequest {}
message QuestListResponse { repeated QuestResponse quests = 1; }
message Reward { int32 reward_id = 1; string reward_name = 2; string reward_item = 3; int32 reward_qty = 4; }
"""

PLAIN_CLIENT = """
import sys, grpc, contract_pb2, contract_pb2_grpc
stub = contract_pb2_grpc.QuestServiceStub(grpc.insecure_channel(sys.argv[1]))
found = stub.GetQuestInfo(contract_pb2.QuestRequest(quest_name="sign-in-three-times"), timeout=20)
print(found.name, found.streak, found.duplication, found.auto_claim, found.quest_id > 0, found.rewards.reward_id > 0)
print(found.rewards.reward_name, found.rewards.reward_item, found.rewards.reward_qty, sep="|")
print(*[quest.name for quest in stub.GetAllQuests(contract_pb2.QuestListRequest(), timeout=20).quests])
try:
    stub.GetQuestInfo(contract_pb2.QuestRequest(quest_name="nothing"), timeout=20)
except grpc.RpcError as error:
    print(error.code().name)
"""

PLAIN_SERVER = """
import sys, grpc, contract_pb2, contract_pb2_grpc
from concurrent import futures

class Service(contract_pb2_grpc.QuestServiceServicer):
    def GetQuestInfo(self, request, context):
        if request.quest_name != "old-quest":
            context.abort(grpc.StatusCode.NOT_FOUND, "Quest not found")
        return contract_pb2.QuestResponse(quest_id=4, name="old-quest", streak=2, duplication=3, auto_claim=True,
            rewards=contract_pb2.Reward(reward_id=1, reward_name="Gold", reward_item="gold", reward_qty=25))
    def GetAllQuests(self, request, context):
        return contract_pb2.QuestListResponse(quests=[self.GetQuestInfo(
            contract_pb2.QuestRequest(quest_name="old-quest"), context)])

server = grpc.server(futures.ThreadPoolExecutor(2))
contract_pb2_grpc.add_QuestServiceServicer_to_server(Service(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
"""

OUR_CLIENT = """
from shared.quests import catalog_client
print(catalog_client.get_quest("old-quest"))
try:
    catalog_client.get_quest("nothing")
except catalog_client.QuestNotFound as error:
    print(error)
"""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the client from the protocol with protoc. Return its directory."""
    directory = tmp_path_factory.mktemp("contract")
    (directory / "contract.proto").write_text(CONTRACT)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--grpc_python_out="]
    subprocess.run([*protoc[:-1], "--grpc_python_out=.", "contract.proto"], cwd=directory, check=True, timeout=60)
    return directory


def run(code: str, *arguments: str, cwd: Path, **environment: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plain_client_reads_the_catalog_server(our_catalog: str, contract: Path) -> None:
    assert run(PLAIN_CLIENT, our_catalog, cwd=contract).splitlines() == [
        "sign-in-three-times 3 10 False True True",
        "Welcome back|coin|10",
        "along-the-trail regular-of-the-cafe seven-days-in-a-row sign-in-three-times sign-up three-landmarks",
        "NOT_FOUND",
    ]


def test_the_catalog_client_reads_a_plain_server(conn: Conn, contract: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PLAIN_SERVER], cwd=contract, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as plain:
        assert plain.stdout
        assert plain.stdin
        address = f"127.0.0.1:{plain.stdout.readline().strip()}"
        environment = {"GRPC_SERVER_URL": address, "GRPC_DEADLINE_SECONDS": "20"}
        lines = run(OUR_CLIENT, cwd=CHECKOUT, **environment).splitlines()
        plain.stdin.close()
    assert lines[0].startswith("Quest(name='old-quest', streak=2, duplication=3, auto_claim=True, reward=")
    assert lines[1:] == ["There is no quest of this name."]


def test_an_impossible_name_is_not_found(our_catalog: str) -> None:
    from shared.quests import catalog_client

    with pytest.raises(catalog_client.QuestNotFound):
        catalog_client._fetch_quest("sign\0-up")


def test_reflection_lists_the_service(our_catalog: str) -> None:
    with grpc.insecure_channel(our_catalog) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "quest.QuestService" in set(database.get_services())
        described = database.FindFileContainingSymbol("quest.QuestService")
        assert [method.name for method in described.service[0].method] == ["GetQuestInfo", "GetAllQuests"]


def test_health_needs_no_token(shipped: None, set_settings: Any) -> None:
    set_settings(grpc_token="secret")
    serving, well, port = server.make_server("127.0.0.1:0")
    well.set("quest.QuestService", health_pb2.HealthCheckResponse.SERVING)
    serving.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="quest.QuestService"), timeout=20
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
    serving.stop(None).wait()


def test_the_health_check_of_a_container_reports_the_state(
    shipped: None, set_settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "configure", lambda _process: None)
    set_settings(grpc_token="secret")
    serving, well, port = server.make_server("127.0.0.1:0")
    set_settings(grpc_server_url="catalog.example:50051", grpc_listen=f"0.0.0.0:{port}")
    serving.start()
    well.set("", health_pb2.HealthCheckResponse.SERVING)
    server.main(["check"])
    assert capsys.readouterr().out == f"The catalog on port {port} is serving\n"
    well.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(SystemExit, match="is not serving"):
        server.main(["check"])
    serving.stop(None).wait()
    with pytest.raises(SystemExit, match="is unreachable"):
        server.main(["check"])


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, "shared/quests/quest.proto"]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=60)
    made = list((tmp_path / "shared/quests").iterdir())
    assert len(made) == 3
    for file in made:
        ours = CHECKOUT / "shared/quests" / file.name
        assert ours.read_text() == file.read_text(), f"{file.name} is old; run: {' '.join(command[1:4])} …"


# Loading -------------------------------------------------------------------------------------------------------------


def test_default_quests_are_loaded_into_an_empty_catalog_only(conn: Conn) -> None:
    server.load_default_quests()
    names = [each.name for each in definitions.list_all(conn)]
    assert {"sign-in-three-times", "sign-up"} <= set(names)
    three = definitions.find(conn, "sign-in-three-times")
    assert three is not None
    assert (three.streak, three.duplication, three.auto_claim) == (3, 10, False)
    assert not any(each.active for each in definitions.list_all(conn))

    conn.execute("DELETE FROM quests WHERE name <> 'sign-up'")
    conn.execute("UPDATE quests SET duplication = 7")
    server.load_default_quests()
    assert [(each.name, each.duplication) for each in definitions.list_all(conn)] == [("sign-up", 7)]


def test_loading_twice_changes_nothing(conn: Conn) -> None:
    assert waymark(*LOAD).startswith("Read 6 quests, added or changed 6: ")
    before = conn.execute("SELECT * FROM quests ORDER BY id").fetchall()
    assert waymark(*LOAD) == "Read 6 quests, added or changed 0\n"
    assert conn.execute("SELECT * FROM quests ORDER BY id").fetchall() == before


def test_loading_keeps_a_quest_active(conn: Conn, tmp_path: Path) -> None:
    server.load_default_quests()
    make_org(conn, "dam")
    assert waymark("quests", "activate", "three-landmarks", "dam") == "Activated three-landmarks for dam\n"
    waymark(*LOAD)
    found = definitions.find(conn, "three-landmarks")
    assert found is not None
    assert found.active
    assert waymark("quests", "deactivate", "three-landmarks") == "Deactivated three-landmarks\n"
    (quest,) = (quest for quest in waymark_json("quests", "list") if quest["name"] == "three-landmarks")
    assert (quest["by_scans"], quest["active"], quest["organization"]) == (True, False, "dam")
    entries = conn.execute("SELECT action, object_id FROM audit_log WHERE actor_kind = 'operator' ORDER BY id")
    assert entries.fetchall() == [
        (f"quest.{word}", "three-landmarks") for word in ("activated", "deactivated")
    ]  # nothing changed when the file was loaded


def test_changing_a_shared_reward_names_the_other_quests(conn: Conn, tmp_path: Path) -> None:
    file = tmp_path / "quests.yaml"
    messages = []
    for name, quantity in (("a", 1), ("b", 1), ("c", 2), ("c", 2)):
        file.write_text(f"quests: [{{name: {name}, streak: 1, duplication: 1, {GOLD} {quantity}}}}}]")
        messages.append(waymark("quests", "load", file).splitlines()[1:])
    assert messages == [[], [], ["These quests share a changed reward: a, b"], []]
    assert {(each.name, each.quantity) for each in definitions.list_all(conn)} == {("a", 2), ("b", 2), ("c", 2)}


@pytest.mark.parametrize(("name", "slug"), [("sign-up", "dam"), ("nothing", "dam"), ("three-landmarks", "nobody")])
def test_activating_an_unsuitable_quest_fails(conn: Conn, name: str, slug: str) -> None:
    server.load_default_quests()
    make_org(conn, "dam")
    assert error_of("quests", "activate", name, slug).startswith(
        ("No organization ", "No quest ", "Scans do not advance ")
    )


LOAD = ("quests", "load", yaml_loader.DEFAULT_QUESTS)
GOLD = "reward: {name: Gold, item: gold, quantity:"
GOOD = "{name: good, streak: 1, duplication: 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: "),
        ("quests: {", "Invalid YAML"),
        ("quests: !!python/object/apply:os.system [echo]", "Invalid YAML"),
        (f"quests: [{GOOD}, color: red}}]", "quests.0 (good): color: This field is unknown."),
        ("quests: [{name: Bad Name, streak: 1, duplication: 1}]", "quests.0 (Bad Name): name: Use 1 to"),
        ("quests: [{streak: 1, duplication: 1}]", "quests.0: name: This field is required."),
        ("quests: [{name: a, streak: 0, duplication: 1}]", "quests.0 (a): streak: "),
        ("quests: [{name: a, streak: true, duplication: 1}]", "quests.0 (a): streak: "),
        (f"quests: [{GOOD}, reward: {{name: x, item: y, quantity: -1}}}}]", "(good): reward.quantity: "),
        (f'quests: [{GOOD}, reward: {{name: x, item: "a\\0b", quantity: 1}}}}]', "(good): reward.item: "),
        (f"quests: [{GOOD}, grace_days: 1}}]", "Set daily to true, or remove grace_days."),
        (f"quests: [{GOOD}, min_interval_seconds: -1}}]", "(good): min_interval_seconds: "),
        (f"quests: [{GOOD}, in_order: true}}]", "Give codes or tags, or set in_order to false."),
        (f"quests: [{GOOD}, within_seconds: 1}}]", "Give codes or tags, or remove within_seconds."),
        (f"quests: [{GOOD}, codes: [abc], tags: [x]}}]", "Give either codes or tags."),
        (f"quests: [{GOOD}, daily: true, tags: [x], within_seconds: 1}}]", "A daily quest cannot have"),
        (f"quests: [{GOOD}, tags: [x, y], in_order: true}}]", "Set streak to 2"),
        ("quests: [{name: a, streak: 3, codes: [abc, abc]}]", "Set streak to at most 1"),
        ("quests: [{name: new, streak: 3}]", "quests.0 (new): name: Use another name: new is reserved."),
        (f"quests: [{GOOD}}}, {GOOD}}}]", "quests.1 (good): name: Give each name once."),
        (
            f"quests: [{GOOD}, {GOLD} 1}}}}, {{name: b, streak: 1, duplication: 1, {GOLD} 2}}}}]",
            "quests.1 (b): reward: good defines another reward with this name",
        ),
    ],
)
def test_an_invalid_file_is_reported_and_not_loaded(conn: Conn, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "quests.yaml"
    file.write_text(text)
    assert message in error_of("quests", "load", file)
    assert definitions.list_all(conn) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"codes": ["abc"], "tags": ["x"]},
        {"in_order": True, "streak": 2},
        {"grace_days": 1},
        {"min_interval_seconds": -1},
        {"daily": True, "within_seconds": 5},
        {"tags": [], "within_seconds": 5},
        {"tags": [], "codes": ["abc"], "streak": 2},
    ],
)
def test_the_tables_reject_what_the_file_format_rejects(conn: Conn, fields: Any) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        make_quest(conn, None, **fields)
    assert definitions.save(conn, QuestDefinition("fine", 1, 1))
