"""Workers halted at the worst moment. The negative controls show what goes wrong without a guard."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from tests.support.concurrency import wait_until_blocked
from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.deadly_worker import DEADLY
from tests.system.invariants import pending, verdicts, violations
from tests.system.load import Scan, make_code
from tests.system.processes import OwnProcess, halted, own_process

pytestmark = pytest.mark.system

Gated = Callable[..., AbstractContextManager[OwnProcess]]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "gate"
    yield path
    path.touch()


@pytest.fixture
def gated(stage_without_workers: Stage, gate: Path, tmp_path: Path) -> Gated:
    """Starts workers that stop at the gate."""

    def start(stops: str, without: str = "", threads: int = 1) -> AbstractContextManager[OwnProcess]:
        module = ("dramatiq", "tests.system.gated_worker", "--processes", "1", "--threads", str(threads))
        log, env = tmp_path / "gated.log", {"GATE": str(gate), "STOPS": stops, "WITHOUT": without}
        return own_process(stage_without_workers.server, log, *module, **env)

    return start


def workers(stage: Stage, log: Path, module: str = "workers.main") -> AbstractContextManager[OwnProcess]:
    return own_process(stage.server, log, "dramatiq", module, "--processes", "1", "--threads", "2")


@pytest.mark.parametrize(
    ("stops", "without"),
    [("leased", ""), ("locked", ""), ("leased", "fence")],
    ids=["leased", "locked", "negative control"],
)
def test_a_worker_halted_past_its_lease_writes_nothing(
    stage_without_workers: Stage, gated: Gated, gate: Path, tmp_path: Path, stops: str, without: str
) -> None:
    """A halted worker with locks delays other workers, so the relay terminates its transaction."""
    stage = stage_without_workers
    with gated(stops, without) as late, psycopg.connect(stage.database_url, autocommit=True) as conn:
        stage.load.hand_in(Scan(stage.game.players[0], stage.game.codes["thrice"]))
        late.until_it_says("at the gate")
        with halted(late.pids), workers(stage, tmp_path / "prompt.log"):
            eventually(lambda: pending(conn) == 0)
            gate.touch()
        eventually(
            lambda: any(word in late.output() for word in ("settled and committed", "lease_lost", "actor_failed"))
        )
        if without:
            twice = {"a verdict without exactly one event", "a stock that is not the scans that used it"}
            assert violations(conn).keys() == twice
        else:
            stage.assert_settled_once()


@pytest.mark.parametrize("without", ["", "stock"], ids=["guarded", "negative control"])
def test_two_workers_judging_the_last_item(
    stage_without_workers: Stage, gated: Gated, gate: Path, without: str
) -> None:
    stage = stage_without_workers
    code = make_code(stage.load, stage.game.owner, stage.game.org_id, max_scans=1)
    with gated("locked", without, threads=2) as both, psycopg.connect(stage.database_url, autocommit=True) as conn:
        stage.load.hand_in(Scan(stage.game.players[0], code))
        both.until_it_says("at the gate")
        stage.load.hand_in(Scan(stage.game.players[1], code))
        if without:
            eventually(lambda: both.output().count("at the gate") == 2)
        else:
            wait_until_blocked(conn)
        gate.touch()
        eventually(lambda: pending(conn) == 0)
    assert verdicts(stage.database_url, code) == ({"success": 2} if without else {"success": 1, "sold_out": 1})


def test_a_scan_that_kills_three_workers_is_dead_lettered(stage_without_workers: Stage, tmp_path: Path) -> None:
    stage = stage_without_workers
    stage.load.hand_in_all(stage.game.scans(50))
    stage.load.hand_in(Scan(stage.game.players[0], DEADLY))
    stage.load.hand_in_all(stage.game.scans(50, seed=2))

    def done(worker: OwnProcess) -> bool:
        worker.keep_up()
        with psycopg.connect(stage.database_url) as conn:
            return pending(conn) == 0

    with workers(stage, tmp_path / "deadly.log", "tests.system.deadly_worker") as worker:
        eventually(lambda: done(worker), within=120)
        assert worker.starts == 4
    stage.assert_settled_once()
    assert verdicts(stage.database_url, DEADLY) == {"not_judged": 1}
    with psycopg.connect(stage.database_url) as conn:
        assert conn.execute("SELECT qr_code FROM player_scans WHERE reason = 'not_judged'").fetchall() == [(DEADLY,)]
