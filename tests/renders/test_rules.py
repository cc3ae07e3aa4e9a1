"""Chunks of a render, dead-lettered images, and the files that are needed."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.renders import rules
from shared.renders.label_templates import TEMPLATES, LabelTemplate
from shared.renders.rules import Render, RenderOptions, dead_lettered_indexes, image_name, is_file_needed, render_id_of

RENDER = Render(
    id=UUID(int=1),
    org_id=UUID(int=2),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    status="done",
    reason=None,
    total=10,
    done=10,
    failed=0,
    finished_at=None,
    file_name=f"renders/{UUID(int=1)}/{UUID(int=3)}.zip",
    file_bytes=10,
    expires_at=None,
    is_expired=False,
)
PART = f"renders/{UUID(int=1)}/0-{UUID(int=4)}"


@given(st.integers(1, 2_000), st.sampled_from([RenderOptions(), RenderOptions(format="svg"), RenderOptions(size=2000)]))
def test_chunks_contain_all_codes_in_order(n: int, options: RenderOptions) -> None:
    codes = [UUID(int=k) for k in range(n)]
    chunks = rules.split_into_chunks(codes, options)
    assert [code for _, chunk in chunks for code in chunk] == codes
    assert [codes[first] for first, _ in chunks] == [chunk[0] for _, chunk in chunks]
    assert max(len(chunk) for _, chunk in chunks) <= rules.chunk_size(options)
    assert len(chunks) >= min(n // 50, 8), "the progress of a small render moves, too"


SHEETS = st.builds(
    lambda columns, rows: replace(TEMPLATES["a4-3x8"], columns=columns, rows=rows), st.integers(1, 9), st.integers(1, 9)
)


@given(st.integers(1, 500), SHEETS, st.data())
def test_every_code_is_on_the_label_that_start_at_gives_it(n: int, sheet: LabelTemplate, data: st.DataObject) -> None:
    start_at = data.draw(st.integers(1, sheet.per_page))
    options = RenderOptions(output="label_sheet", template="t", sheet=sheet, caption="none", start_at=start_at)
    codes = [UUID(int=k) for k in range(n)]

    labels: dict[int, UUID] = {}
    pages = 0
    for first, chunk in rules.split_into_chunks(codes, options):
        skipped = rules.skipped_labels(options, first)
        labels |= {pages * sheet.per_page + skipped + index: code for index, code in enumerate(chunk)}
        pages += -(-(skipped + len(chunk)) // sheet.per_page)

    assert labels == dict(enumerate(codes, start_at - 1))
    assert pages == -(-(start_at - 1 + n) // sheet.per_page)


@pytest.mark.parametrize(
    ("attempts", "crash_indexes", "dead_lettered"),
    [
        (1, [], set()),
        (3, [2], set()),
        (4, [2, 2], set()),
        (5, [2, 2, 2], {2}),
        (4, [2, 3], set()),
        (8, [2, 3, 3, 2, 3, 2], {2, 3}),
        (rules.MAX_CHUNK_CLAIMS, [], set()),
        (rules.MAX_CHUNK_CLAIMS + 1, [], {0, 1, 2, 3}),
    ],
)
def test_dead_lettered_indexes(attempts: int, crash_indexes: list[int], dead_lettered: set[int]) -> None:
    assert dead_lettered_indexes(attempts, crash_indexes, 4) == dead_lettered


@pytest.mark.parametrize(
    ("name", "render", "needed"),
    [
        (RENDER.file_name, RENDER, True),
        (RENDER.file_name, replace(RENDER, is_expired=True), False),
        (PART, RENDER, False),
        (PART, replace(RENDER, status="running"), True),
        (PART, replace(RENDER, status="queued"), True),
        (PART, replace(RENDER, status="canceled", file_name=None), False),
        (PART, replace(RENDER, status="failed", file_name=None), False),
        (PART, None, False),
    ],
)
def test_is_file_needed(name: str, render: Render | None, needed: bool) -> None:
    assert is_file_needed(name, render) is needed


def test_render_id_of() -> None:
    render_id, token = uuid4(), uuid4()
    assert render_id_of(rules.part_name(render_id, 7, token)) == render_id
    assert render_id_of(rules.file_name(RenderOptions(), render_id, token)) == render_id
    for name in ("renders/x/y", f"other/{render_id}/y", f"renders/{render_id}", "renders"):
        assert render_id_of(name) is None


@given(st.lists(st.text("abCD01_-", min_size=3, max_size=64), min_size=1, max_size=30))
def test_image_names_are_unique_sorted_and_safe(codes: list[str]) -> None:
    names = [image_name(index, len(codes), code, "png").lower() for index, code in enumerate(codes)]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    assert not any({"/", "\\", ":"} & set(name) or name.startswith((".", "con.", "nul.")) for name in names)
