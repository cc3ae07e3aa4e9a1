"""The list of crawlers is loaded by the first visit and not by starting: web stays light."""

import os
import subprocess
import sys

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn

START = """
import sys
from web.app import create_app

client = create_app().test_client()
assert client.get("/s/nobody").status_code == 404
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_starting_loads_no_list_of_crawlers(conn: Conn) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START], cwd=CHECKOUT, env=os.environ, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "flask" in loaded
    assert loaded & {"crawleruseragents", "ua_parser", "workers", "numpy"} == set()
