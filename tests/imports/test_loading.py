"""Taking and giving files loads nothing heavy into a web process, and nothing of workers."""

import os
import subprocess
import sys

from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from tests.support.callers import Staff

SERVE = """
import sys
from web.app import create_app

url, token = sys.argv[1:]
client = create_app().test_client()
headers = {"Authorization": token}
for n in (2, 1_002):
    data = b"scan_type\\n" + b"item_drop\\n" * n
    assert client.post(f"{url}/import", data=data, headers=headers, content_type="text/csv").status_code in (201, 202)
assert client.post(f"{url}/bulk", json={"codes": [{"scan_type": "item_drop"}]}, headers=headers).status_code == 201
assert client.get(f"{url}/export", headers=headers).data.count(b"item_drop") == 3
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_web_process_stays_light(conn: Conn, staff: Staff) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, staff.codes, staff.admin.headers["Authorization"]],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "flask" in loaded
    heavy = {"zxingcpp", "segno", "numpy", "PIL", "isal", "reportlab", "grpc", "boto3"}
    assert loaded & (heavy | {"workers", "apscheduler", "alembic"}) == set()
