"""The types of the modules, as their JSDoc comments state them. Needs `npm install` in script/js, once."""

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "script" / "js"
COMPILER = FOLDER / "node_modules" / ".bin" / "tsc"


@pytest.mark.long
@pytest.mark.skipif(not COMPILER.exists(), reason="there is no TypeScript: run `npm install` in script/js")
def test_modules_have_no_type_errors() -> None:
    checked = subprocess.run([COMPILER, "--project", FOLDER / "jsconfig.json"], capture_output=True, text=True)
    assert checked.stdout == ""
    assert checked.returncode == 0
