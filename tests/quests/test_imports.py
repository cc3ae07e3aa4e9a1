"""A web process stays small until somebody asks for a quest that nobody has asked for yet."""

import os
import subprocess
import sys
from typing import Any

from script.stack.running_server import CHECKOUT
from shared.quests import catalog_client
from tests.support.callers import SignedInPlayer

SERVE = """
import sys
from web.app import create_app

client = create_app().test_client()
headers = {"Authorization": "Bearer " + sys.argv[1]}
for _ in range(3):
    assert client.post("/api/v1/track/signin", headers=headers).status_code == 200
claimed = client.post("/api/v1/track/claim_reward", json={"quest_name": "sign-in-three-times"}, headers=headers)
assert claimed.status_code == 200, claimed.text
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_what_is_cached_is_tracked_and_claimed_without_grpc(our_catalog: str, ada: SignedInPlayer) -> None:
    catalog_client.get_quest("sign-in-three-times")
    done = subprocess.run(
        [sys.executable, "-c", SERVE, ada.access_token],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    loaded: Any = set(done.stdout.splitlines()[-1].split())
    assert "flask" in loaded
    assert loaded & {"grpc", "google", "yaml", "workers", "numpy"} == set()
