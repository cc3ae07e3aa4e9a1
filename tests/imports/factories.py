"""Upload files and lists of codes over HTTP."""

import csv
from io import StringIO
from typing import Any

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, Staff


def table(*rows: dict[str, Any], delimiter: str = ",") -> bytes:
    """Return rows as a CSV file. Its columns are those of the first row."""
    text = StringIO()
    sheet = csv.DictWriter(text, rows[0], delimiter=delimiter)
    sheet.writeheader()
    sheet.writerows(rows)
    return text.getvalue().encode()


def many(count: int, prefix: str = "many", **fields: Any) -> bytes:
    return table(*({"code": f"{prefix}-{k}", "scan_type": "item_drop"} | fields for k in range(count)))


def upload(
    client: Any, staff: Staff, data: bytes, by: SignedInPlayer | None = None, query: str = "", **headers: str
) -> Any:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        f"{staff.codes}/import{query}",
        data=data,
        headers=(by or staff.admin).headers | {"Content-Type": "text/csv"} | extra,
    )


def bulk(client: Any, staff: Staff, *codes: Any, query: str = "", **headers: str) -> Any:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"{staff.codes}/bulk{query}", json={"codes": list(codes)}, headers=staff.admin.headers | extra)


def export(client: Any, staff: Staff, by: SignedInPlayer | None = None) -> Any:
    return client.get(f"{staff.codes}/export", headers=(by or staff.admin).headers)


def stored(conn: Conn) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT code FROM qr_codes WHERE deleted_at IS NULL")}


def staged_rows(conn: Conn) -> int:
    """Return the number of staged rows and candidates."""
    return sum(conn.execute(f"SELECT FROM {name}").rowcount for name in ("import_rows", "import_candidates"))


def erase_codes(conn: Conn) -> None:
    """Leave no code and no text, as in another installation."""
    conn.execute("DELETE FROM qr_codes")
    conn.execute("DELETE FROM code_texts")
