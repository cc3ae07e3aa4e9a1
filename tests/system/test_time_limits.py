"""Real workers whose decoder hangs: other jobs go on, and the image that hangs is dead-lettered."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.renders import store
from shared.renders.rules import MAX_CRASHES, Render, RenderOptions
from tests.support.factories import make_code, make_org
from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.hanging_worker import HANGING
from tests.system.load import Scan
from tests.system.processes import own_process

pytestmark = pytest.mark.system


def test_a_hanging_image_is_dead_lettered_while_other_jobs_go_on(
    stage_without_workers: Stage, log_file: Callable[[str], Path]
) -> None:
    """The only slots of the only worker process hang at first."""
    stage = stage_without_workers
    with psycopg.connect(stage.database_url, autocommit=True) as conn:
        org_id = make_org(conn)

        def start_render(*codes: str) -> UUID:
            ids = [make_code(conn, org_id, code=code) for code in codes]
            with conn.transaction():
                return store.add(conn, org_id, None, RenderOptions(), ids)

        def finished(render_id: UUID) -> Render | None:
            worker.keep_up()
            render = store.get_many(conn, [render_id])[render_id]
            return render if render.status == "done" else None

        hanging = start_render("before", f"{HANGING}-1", "after")
        module = ("dramatiq", "tests.system.hanging_worker", "--processes", "1", "--threads", "2")
        with own_process(stage.server, log_file("hanging"), *module, RENDER_LEASE_SECONDS="1") as worker:
            worker.until_it_says("hangs")
            other = start_render("other")
            stage.load.hand_in(Scan(stage.game.players[0], stage.game.codes["thrice"]))

            for render_id, counts in ((other, (1, 0)), (hanging, (2, 1))):
                render: Any = eventually(partial(finished, render_id), within=120)
                assert (render.done, render.failed) == counts
            starts = worker.starts

        # The first worker that hangs does not say at which image.
        assert starts == 1 + 1 + MAX_CRASHES
    stage.assert_settled_once()
