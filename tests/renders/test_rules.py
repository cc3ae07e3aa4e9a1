"""What a render is divided into, what is given up, and which files have to stay."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.renders import rules
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
def test_chunks_are_all_of_it_in_order(n: int, asked: RenderOptions) -> None:
    codes = [UUID(int=k) for k in range(n)]
    pieces = rules.split_into_chunks(codes, asked)
    assert [code for _, piece in pieces for code in piece] == codes
    assert [codes[first] for first, _ in pieces] == [piece[0] for _, piece in pieces]
    assert max(len(piece) for _, piece in pieces) <= rules.chunk_size(asked)


@pytest.mark.parametrize(
    ("attempts", "strikes", "aside"),
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
def test_what_is_not_tried_again(attempts: int, strikes: list[int], aside: set[int]) -> None:
    assert dead_lettered_indexes(attempts, strikes, 4) == aside


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
def test_which_files_have_to_stay(name: str, render: Render | None, needed: bool) -> None:
    assert is_file_needed(name, render) is needed


def test_a_file_tells_its_render() -> None:
    render_id, token = uuid4(), uuid4()
    assert render_id_of(rules.part_name(render_id, 7, token)) == render_id
    assert render_id_of(rules.file_name(RenderOptions(), render_id, token)) == render_id
    for name in ("renders/x/y", f"other/{render_id}/y", f"renders/{render_id}", "renders"):
        assert render_id_of(name) is None


@given(st.lists(st.text("abCD01_-", min_size=3, max_size=64), min_size=1, max_size=30))
def test_names_are_unique_and_sorted(codes: list[str]) -> None:
    names = [image_name(place, len(codes), code, "png").lower() for place, code in enumerate(codes)]
    assert len(set(names)) == len(names)
    assert names == sorted(names)
    assert not any({"/", "\\", ":"} & set(name) or name.startswith((".", "con.", "nul.")) for name in names)
