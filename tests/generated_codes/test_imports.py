"""A web process that serves only what workers have drawn stays small: it loads no renderer, and nothing of theirs."""

import os
import subprocess
import sys

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from tests.generated_codes.factories import ask
from workers import generated_codes as worker

SERVE = """
import sys
from web.app import create_app

client = create_app().test_client()
for url in sys.argv[1:]:
    assert client.get(url).status_code == 200, url
    assert client.get(url, headers={"If-None-Match": "*"}).status_code in (200, 304), url
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_retrieving_what_is_ready_loads_no_renderer(conn: Conn) -> None:
    code_id = ask(conn)
    worker.render_pending()

    done = subprocess.run(
        [sys.executable, "-c", SERVE, f"/retrieve/{code_id}", f"/retrieve/{code_id}/image"],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "flask" in loaded
    assert loaded & {"zxingcpp", "segno", "numpy", "PIL", "isal", "workers", "apscheduler", "alembic"} == set()
