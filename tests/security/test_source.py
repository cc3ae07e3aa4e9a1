"""What the source must not do: unpickle, run text or a shell, compose SQL, skip verification, contain secrets.

Exceptions are listed with their reason. An exception without use fails too.
"""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.security.source import CHECKOUT, LOOKED_AT, RUNNING, Finding, built_sql, dangers, sources

DANGERS_EXPLAINED: dict[tuple[str, str], str] = {
    (
        "a token without verification",
        "tests/accounts/forged_tokens.py",
    ): "a test looks into a token, and believes nothing of it",
    (
        "a token without verification",
        "tests/security/older_tokens.py",
    ): "an attack in which the guard is removed",
    (
        "a token without verification",
        "shared/accounts/external_tokens.py",
    ): "asks whose token it says to be; verified afterwards",
}
"""By what is found and where."""

SQL_EXPLAINED: dict[tuple[str, str], str] = {
    ("shared/accounts/export.py", "section.page"): "of a Section, all of which are constants of the module",
    ("shared/backup/invariants.py", "query"): "a value of BROKEN_BY, a constant of the module",
    **{
        ("shared/infra/leases.py", f"statement({name}, table)"): "composed from the constants of a LeasedTable"
        for name in (
            "CLAIM_NEW",
            "CLAIM_EXPIRED",
            "HAS_EXPIRED",
            "LOCK_HELD",
            "RENEW",
            "RELEASE",
            "FAIL",
            "RETRY_LATER",
        )
    },
    ("shared/infra/fair_claims.py", "statement(CLAIM_NEXT, table)"): "composed from the constants of a LeasedTable",
    ("web/api/quests.py", "conn"): "runs a quest command, not a statement",
    ("migrations/__init__.py", "text"): "a file of `versions/`, or a statement of a revision with a quoted identifier",
}
"""By file and by the expression in the statement. A long expression is identified by its start."""
LONG = 100


def in_short(part: str) -> str:
    return part if len(part) <= LONG else part.partition("(")[0] + "(…)"


def test_nothing_dangerous_is_done_without_a_reason() -> None:
    found = {(finding.what, finding.file) for finding in dangers(sources(*LOOKED_AT))}

    assert found - DANGERS_EXPLAINED.keys() == set()
    assert DANGERS_EXPLAINED.keys() - found == set(), "an exception without use"


def test_statements_are_put_together_from_constants() -> None:
    found = {(finding.file, in_short(finding.line)) for finding in built_sql(sources(*RUNNING))}

    assert found - SQL_EXPLAINED.keys() == set()
    assert SQL_EXPLAINED.keys() - found == set(), "an exception without use"


def test_leased_tables_are_described_by_constants() -> None:
    """Their fields are SQL text, which `shared/infra/leases.py` puts into its statements."""
    tables = list(calls_of("LeasedTable", sources(*RUNNING)))
    assert len(tables) >= 5
    for call in tables:
        assert call.args == []
        for keyword in call.keywords:
            constant = isinstance(keyword.value, ast.Constant)
            assert constant or keyword.arg in ("row", "max_attempts"), ast.unparse(call)


def calls_of(name: str, files: Mapping[str, str]) -> Iterator[ast.Call]:
    for text in files.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


BAD = {
    "import pickle": "pickle",
    "from marshal import loads": "pickle",
    "import shelve as s": "pickle",
    "subprocess.run(command, shell=True)": "a shell",
    "os.system(command)": "a shell",
    "yaml.load(text)": "objects out of YAML",
    "eval(text)": "runs text",
    "requests.get(url, verify=False)": "TLS without verification",
    "jwt.decode(token, options={'verify_signature': False})": "a token without verification",
    "np.load(file, allow_pickle=True)": "objects out of arrays",
    "app.run(debug=True)": "a debugger",
}


@pytest.mark.parametrize("line", BAD)
def test_dangerous_calls_are_found(line: str) -> None:
    """The negative control: without it, an empty list could mean that nothing is looked for."""
    assert BAD[line] in {finding.what for finding in dangers({"a.py": line})}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("conn.execute('SELECT 1')", False),
        ("A = 'SELECT'\nconn.execute(A + ' 1')", False),
        ("A, B = 'a', 'b'\nconn.execute(f'SELECT {A} FROM {B}')", False),
        ("def f(conn, name):\n    conn.execute(f'SELECT {name}')", True),
        ("A = 'SELECT'\ndef f(conn, A):\n    conn.execute(A)", True),
        ("def f(conn, name):\n    text = 'SELECT ' + name\n    conn.execute(text)", True),
        ("def f(conn, name):\n    conn.execute('SELECT %s' % name)", True),
        ("def f(conn, name):\n    conn.execute('SELECT {}'.format(name))", True),
        ("def f(cursor, name):\n    cursor.executemany(' '.join(['SELECT', name]), [])", True),
        ("def f(cursor):\n    with cursor.copy(request.args['q']) as copy: pass", True),
    ],
)
def test_statements_that_are_built_are_found(text: str, found: bool) -> None:
    assert bool(list(built_sql({"a.py": text}))) is found


def test_names_are_followed_into_other_files() -> None:
    files = {"shared/a.py": "from shared.b import B\nconn.execute(f'SELECT {B}')", "shared/b.py": "B = input()"}
    assert list(built_sql(files)) == [Finding("built SQL", "shared/a.py", "input()")]


SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}",
    "an AWS key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "an access token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}",
    "a password in an address": r"\b(postgres(ql)?|rediss?|amqp)://[^\s:/@{}$'\"]*:(?!p@|pw@|(?i:password)@|\$|\{|<|…)[^\s:/@{}$'\"]{6,}@",
    "a secret that is set": r"(?m)^[\s-]*[A-Z_]*(SECRET|PASSWORD|TOKEN)[A-Z_]*\s*[=:]\s*['\"]?[0-9A-Za-z+/]{24,}\W*$",
}


MADE_UP = {
    ("a secret that is set", "tests/accounts/external_issuer.py"),  # of an outside service that only tests play
    ("a password in an address", "tests/infra/test_settings.py"),  # good ones and bad ones, of no server
    ("a password in an address", "tests/security/production.py"),
}


def committed() -> Iterator[tuple[str, str]]:
    """Every text file that is under version control; where there is none, as in an archive, every source."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True)  # noqa: S607
    names = [name for name in listed.stdout.split("\0") if name] or list(sources(*LOOKED_AT))
    for name in names:
        try:
            yield name, (CHECKOUT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):  # also a link to a directory
            continue


def test_no_secret_is_committed() -> None:
    found = {(what, name) for name, text in committed() for what, form in SECRETS.items() if re.search(form, text)}
    assert found - MADE_UP == set()
    assert MADE_UP - found == set(), "an exception without use"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("JWT_SECRET=" + "0123456789abcdef" * 2, "a secret that is set"),
        ("DATABASE_URL=postgresql://waymark:" + "hunter2hunter2@db/waymark", "a password in an address"),
        ("AKIA" + "ABCDEFGHIJKLMNOP", "an AWS key"),
    ],
)
def test_a_secret_would_be_found(text: str, what: str) -> None:
    assert re.search(SECRETS[what], text)


def test_no_file_of_the_environment_is_committed() -> None:
    names = [name for name, _ in committed()]
    assert [name for name in names if re.search(r"(^|/)\.env$|\.(pem|key|p12|pfx)$|id_rsa", name)] == []
