"""Import CSV in a browser: the page reads files as the server does, and people correct what cannot be imported."""

import random
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from psycopg.types.json import Jsonb

from script.stack import RunningServer
from shared.errors import Invalid
from shared.imports import csv_reader, store
from shared.imports.csv_cells import COLUMNS
from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.cases.files import HERE
from tests.imports.factories import many
from tests.pages.browsers import Complaints
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

READ = """async files => {
    const csv = await import(document.body.dataset.static + 'js/staff/imports/csv.js');
    return files.map(bytes => {
        const encoding = csv.detectEncoding(new Uint8Array(bytes));
        if (encoding === null) return null;
        const text = new TextDecoder(encoding).decode(new Uint8Array(bytes));
        const delimiter = csv.detectDelimiter(text);
        return [encoding, [...csv.readRows(text, delimiter)].map(({line, cells}) => [line, cells])];
    });
}"""
ROUND_TRIP = """async ([rows, delimiter]) => {
    const csv = await import(document.body.dataset.static + 'js/staff/imports/csv.js');
    const text = csv.writeFile(rows, delimiter).replace(/^\\ufeff/, '');
    return [...csv.readRows(text, delimiter)].map(({cells}) => cells);
}"""
DROP = """([name, size, type]) => {
    const data = new DataTransfer();
    data.items.add(new File([new ArrayBuffer(size)], name, {type}));
    document.getElementById('drop-zone').dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));
}"""
GATE = "Visitor\N{RIGHT SINGLE QUOTATION MARK}s gate 10 \N{EN DASH} 20"
MARKUP = '"><img src=x onerror=hacked=1>'


def sheet(name: str) -> bytes:
    return Path(HERE / "csv" / name).read_bytes()


@pytest.fixture
def page(game: Game, site: RunningServer, open_context: Callable[..., Any]) -> Any:
    """Return the page of an admin who imports codes."""
    context = open_context()
    sign_in(context, site, game.owner["username"])
    opened = context.new_page()
    opened.goto(f"/o/{game.organization['slug']}/codes/import")
    return opened


def choose(page: Any, name: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})


def check(page: Any, name: str, content: bytes) -> None:
    choose(page, name, content)
    page.get_by_role("button", name="Check file").click()


def refuse(status: int, route: Any) -> None:
    """Answer a request as a proxy does."""
    route.fulfill(status=status, body="no JSON")


def codes(game: Game) -> dict[str, Any]:
    path = f"/api/organizations/{game.org_id}/qr-codes?limit=200"
    return {code["code"]: code for code in game.api.ask("GET", path, game.owner["access_token"])["items"]}


def server_rows(data: bytes) -> list[list[Any]] | None:
    """Return the lines and the cells that the server reads, the header aside; None if it refuses the file."""
    try:
        return [[row.line, list(row.cells)] for row in csv_reader.open_csv(BytesIO(data)).rows]
    except Invalid:
        return None


def test_rows_and_lines_are_those_of_the_server(desktop: Any) -> None:
    """Files of bug reports, and random ones. The page shows the cells of the lines that the server names."""
    desktop.goto("/sign-in")
    names = sorted(path.name for path in Path(HERE / "csv").iterdir())
    chance = random.Random(5)
    parts = ["a", "b b", "é", '"x"', '"q""q"', '"l\nm"', '"r\r\n\r\ns"', '"d,;e"', "", " "]
    made = [
        "\n".join(
            [separator.join(("code", "scan_type", "description"))]
            + [separator.join(chance.choice(parts) for _ in range(3)) for _ in range(chance.randrange(6))]
        )
        + chance.choice(("", "\n", "\r\n", "\n\n,,\n"))
        for separator in ",;\t|"
        for _ in range(40)
    ]
    data = [sheet(name) for name in names] + [text.encode() for text in made]

    read = desktop.evaluate(READ, [list(each) for each in data])

    encodings = dict(zip(names, (found[0] for found in read), strict=False))
    assert {name for name, encoding in encodings.items() if encoding != "utf-8"} == {
        "w02-utf16le-tab.csv",
        "w03-cp1252.csv",
    }
    compared = 0
    for content, (encoding, rows) in zip(data, read, strict=True):
        expected = server_rows(content.decode({"windows-1252": "cp1252"}.get(encoding, encoding)).encode())
        if expected is None:
            continue
        compared += 1
        width = len(expected[0][1]) if expected else 0
        found = [[line, cells[:width]] for line, cells in rows[1:] if any(cell.strip() for cell in cells)]
        # The server reads decimal commas as points in the columns of numbers.
        assert [[line, [c.replace(",", ".") for c in cells]] for line, cells in found] == [
            [line, [c.replace(",", ".") for c in cells]] for line, cells in expected
        ]
    assert compared > 150
    assert desktop.evaluate(READ, [list(b"PK\x03\x04rest"), list(b"%PDF-1.7"), [0, 1, 0, 0, 3]]) == [None, None, None]
    row = ["=1+1", "-0,5", "'quoted", 'say "hi"', "two\r\nlines", "semi;colon"]
    assert desktop.evaluate(ROUND_TRIP, [[row], ";"]) == [row]


def test_file_of_an_old_spreadsheet_is_converted_and_imported(game: Game, page: Any) -> None:
    choose(page, "codes.csv", sheet("w03-cp1252.csv"))
    page.get_by_text("This file looks like Windows-1252. Convert to UTF-8?").wait_for()
    assert page.get_by_text(GATE).count() == page.get_by_text("München").count() == 1
    assert page.get_by_role("button", name="Check file").count() == 0

    page.get_by_role("button", name="Convert to UTF-8").click()
    page.get_by_role("button", name="Check file").click()
    page.get_by_role("heading", name="All 3 rows are valid.").wait_for()
    assert codes(game) == {}
    page.get_by_role("button", name="Import 3 valid rows").dblclick()
    page.get_by_role("heading", name="3 codes added.").wait_for()

    assert {code["description"] for code in codes(game).values()} == {"plain", GATE, "München"}
    page.get_by_role("link", name="Print these codes").focus()
    page.evaluate("addEventListener('click', event => event.preventDefault())")
    page.keyboard.press("Enter")
    assert len(page.evaluate("JSON.parse(sessionStorage.getItem('waymark-selection')).ids")) == 3


def test_failed_rows_are_filtered_downloaded_and_chosen_again(game: Game, page: Any, complaints: Complaints) -> None:
    mangled = sheet("w06-mangled.csv") + f'"=HYPERLINK(1)","{MARKUP.replace(chr(34), chr(34) * 2)}",wrong\n'.encode()
    check(page, "places.csv", mangled)
    page.get_by_role("heading", name="9 rows cannot be imported.").wait_for()
    rows = page.locator("tbody tr")
    assert rows.count() == 9
    assert rows.nth(1).locator("mark").inner_text() == "52.373.081"
    page.get_by_role("button", name="3 rows Use a number.").click()
    assert rows.count() == 3
    page.get_by_role("button", name="All 9 rows").click()
    faults = faults_of_open_page(page)
    page.set_viewport_size({"width": 1280, "height": 800})

    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download failed rows").click()
    assert downloading.value.suggested_filename == "places-failed.csv"
    failed = Path(downloading.value.path()).read_bytes()
    lines = failed.decode("utf-8-sig").splitlines()
    assert lines[0].endswith(",error")
    assert lines[1].startswith("1.23457E+12,")
    assert lines[1].endswith('"code: Use 3 to 64 letters, digits, - or _."')
    assert lines[-1].startswith("'=HYPERLINK(1),"), "no spreadsheet computes it"

    check(page, "places-failed.csv", failed)
    page.get_by_text("The column error is left out.").wait_for()
    page.get_by_role("heading", name="9 rows cannot be imported.").wait_for()
    check(page, "places.csv", mangled)
    page.get_by_role("button", name="Import 1 valid row").click()
    page.get_by_role("heading", name="1 code added.").wait_for()
    assert len(codes(game)) == 1
    assert faults == []
    assert page.evaluate("globalThis.hacked") is None


def test_a_repeated_import_says_that_nothing_was_added(game: Game, page: Any) -> None:
    """The digest of the file is the key of the import. The codes were deleted since, so the check finds valid rows."""
    content = b"description,scan_type\nLamp,item_drop\nQuay,item_drop\n"
    check(page, "a.csv", content)
    page.get_by_role("button", name="Import 2 valid rows").click()
    page.get_by_role("heading", name="2 codes added.").wait_for()
    for code in codes(game).values():
        path = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}"
        game.api.ask("DELETE", path, game.owner["access_token"])

    check(page, "a.csv", content)
    page.get_by_role("button", name="Import 2 valid rows").click()
    page.get_by_role("heading", name="Nothing was added now.").wait_for()
    assert codes(game) == {}
    assert page.get_by_role("link", name="Show that import").count() == 1
    page.get_by_role("button", name="Import it again").click()
    page.get_by_role("heading", name="2 codes added.").wait_for()
    assert len(codes(game)) == 2
    other = game.api.organization(game.owner["access_token"])
    page.goto(f"/o/{other['slug']}/codes/import")
    check(page, "a.csv", content)
    page.get_by_role("button", name="Import 2 valid rows").click()
    page.get_by_role("heading", name="2 codes added.").wait_for()


def test_large_file_is_followed_to_its_end(game: Game, page: Any) -> None:
    check(page, "large.csv", many(1_100, f"k{uuid4().hex[:8]}") + b"x,item_drop\n")
    page.get_by_role("heading", name="1 row cannot be imported.").wait_for()
    page.get_by_role("button", name="Import 1,100 valid rows").click()
    page.wait_for_url("**/codes/imports/*")
    page.get_by_role("heading", name="1,100 codes added.").wait_for()
    assert "%" not in page.title()
    assert page.locator("tbody tr").count() == 1
    assert faults_of_page(page, page.url.removeprefix(game.api.base_url)) == []


def test_page_says_why_a_file_cannot_be_imported(page: Any, game: Game, complaints: Complaints) -> None:
    assert faults_of_page(page, f"/o/{game.organization['slug']}/codes/import") == []
    page.set_viewport_size({"width": 1280, "height": 800})
    for name, size, words in (
        ("huge.csv", 71 * 2**20, "This file is 71 MB. The limit is 64 MB."),
        ("empty.csv", 0, "This file is empty."),
        ("zeros.csv", 10, "That isn't a CSV file."),
    ):
        page.evaluate(DROP, [name, size, "text/csv"])
        page.get_by_text(words).wait_for()
    choose(page, f"{MARKUP}.csv", b"Scan type;foo;code;code\nitem_drop;1;2;3\n")
    page.get_by_text("“Scan type” is not a column. Rename it to scan_type.").wait_for()
    page.get_by_text("The column code occurs more than once.").wait_for()
    page.get_by_text("The column scan_type is missing. It is required.").wait_for()
    assert page.get_by_role("button", name="Check file").count() == 0
    assert faults_of_open_page(page) == []
    page.set_viewport_size({"width": 1280, "height": 800})
    complaints.expect("422")
    check(page, "open.csv", b'code,scan_type\n"abc,item_drop\n')
    page.get_by_text("Line 2: This row has a quote that is never closed.").wait_for()
    for status, words in ((413, "The limit is 64 MB."), (415, "That isn't a CSV file."), (503, "Busy right now.")):
        complaints.expect(str(status))
        page.route("**/import?*", partial(refuse, status))
        check(page, f"{status}.csv", b"code,scan_type\nabc,item_drop\n")
        page.get_by_text(words).wait_for()
    full = {"status": "checked", "total": 1, "failed": 0, "rows": [], "message": f"No room. {MARKUP}"}
    page.route("**/import?*", lambda route: route.fulfill(json=full))
    check(page, "full.csv", b"code,scan_type\nabc,item_drop\n")
    page.get_by_text(full["message"]).wait_for()
    assert page.get_by_role("button", name="Import 1 valid row").count() == 0
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download template").click()
    assert Path(downloading.value.path()).read_text("utf-8-sig").strip() == ",".join(COLUMNS)


@pytest.mark.parametrize("status", ["running", "done", "failed", "checked"])
def test_outcome_of_an_import_is_for_its_organization(app: Flask, conn: Conn, staff: Staff, status: str) -> None:
    job = store.create(conn, staff.org_id, ["code"], partial=True, dry_run=status == "checked", validated_rows=1_200)
    outcome = {"line": 3, "status": "failed", "field": "code", "message": MARKUP, "code": MARKUP}
    conn.execute(
        """
        UPDATE imports SET status = %s, done = 0, failed = 1, message = %s, outcomes = %s,
                           finished_at = CASE WHEN %s <> 'running' THEN now() END
        WHERE id = %s
        """,
        (status, MARKUP, Jsonb([outcome]), status, job.id),
    )
    path = f"/o/{organizations.get_slug(conn, staff.org_id)}/codes/imports/{job.id}"

    shown = browser_of(app, staff.admin).get(path, headers=BROWSER)

    assert (shown.status_code, faults_of(shown.text), MARKUP in shown.text) == (200, [], False)
    assert ("data-status-url" in shown.text) == (status == "running")
    other = make_staff(app, conn)
    elsewhere = f"/o/{organizations.get_slug(conn, other.org_id)}/codes/imports/{job.id}"
    assert browser_of(app, other.admin).get(elsewhere, headers=BROWSER).status_code == 404
    assert browser_of(app, staff.admin).get(path[:-1], headers=BROWSER).status_code == 404
