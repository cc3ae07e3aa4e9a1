"""Codes as rows of a CSV file, page by page."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from shared.codes import export
from shared.codes.store import StoredCode
from shared.imports import csv_cells
from shared.infra.ids import LOWEST
from shared.infra.read_replica import reading

PAGE_SIZE = 200
"""Codes of an export that are in memory at once: each may have a puzzle of a mebibyte."""


def export_pages(org_id: UUID, columns: Sequence[str]) -> Iterator[Iterable[list[str]]]:
    """Yield all codes of an organization as rows, page by page. Between pages no connection is held."""
    after = LOWEST
    until = reading(export.max_id, org_id) or LOWEST
    while True:
        page = reading(export.list_range, org_id, after=after, until=until, limit=PAGE_SIZE)
        destinations = {code.destination_code for code in page if code.destination_code}
        existing = reading(export.find_existing, org_id, destinations, until=until)
        yield (_to_cells(code, columns, existing) for code in page)
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].id


def _to_cells(code: StoredCode, columns: Sequence[str], existing: Collection[str]) -> list[str]:
    # An import accepts existing destinations only.
    destination = code.destination_code if code.destination_code in existing else None
    cells = csv_cells.write(replace(code, destination_code=destination))
    return [cells[column] for column in columns]
