"""Asking for renders and downloading them loads no renderer, no reportlab and no client of S3 into a web process."""

import os
import subprocess
import sys

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from tests.renders.factories import ask, make_codes, work
from tests.support.callers import Staff

SERVE = """
import sys
from web.app import create_app

client = create_app().test_client()
path, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}
assert client.post(path, json={"all": True, "output": "label_sheet"}, headers=headers).status_code == 202
(_, done) = client.get(path, headers=headers).json["items"]
assert client.get(done["download_url"]).status_code == 200
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_web_process_stays_small(conn: Conn, staff: Staff) -> None:
    ask(conn, staff.org_id, make_codes(conn, staff.org_id, 2))
    work()

    done = subprocess.run(
        [sys.executable, "-c", SERVE, f"{staff.path}/renders", staff.admin.access_token],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "flask" in loaded
    heavy = {"zxingcpp", "segno", "numpy", "PIL", "isal", "reportlab", "pypdfium2", "boto3", "workers", "alembic"}
    assert loaded & heavy == set()
