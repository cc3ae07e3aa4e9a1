"""Attacks with files: archive names that leave the archive, and small images and texts that cost much to process."""

import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from typing import Any
from unittest.mock import patch
from uuid import UUID

from PIL import Image, ImageFile

from shared.accounts import rules as accounts
from shared.codes.schemas import CodeBody
from shared.images import logos
from shared.infra import fair_claims
from shared.renders import captions, image_timer, label_sheets, zip_part
from shared.renders.image_timer import ImageTimer
from shared.renders.label_templates import LabelTemplate
from tests.images.test_logos import bomb
from tests.renders import factories
from tests.security import regexes
from tests.security.attack import Attack, Scene, all_of, replaced, taking_any_text, without_check
from tests.security.content import upload

OUT = ("../../../../etc/cron.d/evil", "/etc/cron.d/evil", "..\\..\\evil", "C:evil")


def names_that_leave_the_archive(scene: Scene) -> bool:
    """A code's text is part of a name in the ZIP: one who unpacks it would write where they did not mean to."""
    made = [
        UUID(answer.json["id"])
        for name in OUT
        if (
            answer := scene.ask(
                "POST",
                scene.attacker.codes,
                scene.attacker.owner,
                {"scan_type": None, "target_url": "https://a.example", "code": name},
            )
        ).status_code
        == 201
    ]
    render = factories.add_render(scene.conn, scene.attacker.org_id, made or [scene.own_code()])
    factories.work()
    with zipfile.ZipFile(BytesIO(factories.read_file(scene.conn, render))) as archive:
        return any({"/", "\\", ":"} & set(name) for name in archive.namelist())


@cache
def small_png_of_many_pixels() -> bytes:
    made = bomb(30_000, 30_000)
    assert len(made) < 200_000
    return made


def many_pixels_decoded(scene: Scene) -> bool:
    """Return True if decoding starts: the pixels take 0.9 GB, and 3.6 GB as RGBA."""
    begun = []

    def load(image: ImageFile.ImageFile) -> None:
        begun.append(image.size)
        raise OSError("not on this machine")

    with patch.object(ImageFile.ImageFile, "load", load):
        upload(scene, small_png_of_many_pixels())
    return (30_000, 30_000) in begun


def backlog_before_another_organization(scene: Scene) -> bool:
    """Return True if the attacker's queued renders are rendered before a code of another organization."""
    conn, ids = scene.conn, [scene.own_code()]
    for _ in range(3):
        factories.add_render(conn, scene.attacker.org_id, ids)
    factories.render_one_chunk()
    render = factories.add_render(conn, scene.victim.org_id, [scene.their_code()])
    factories.render_one_chunk()
    delayed = factories.find(conn, render).done == 0
    factories.work()
    return delayed


def image_without_an_end(scene: Scene) -> bool:
    """Return True if an image of the attacker's keeps its worker for longer than an image may take."""
    render = factories.add_render(scene.conn, scene.attacker.org_id, [scene.own_code()])
    render_verified = zip_part.render_verified

    def slow(*args: Any) -> bytes:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            pass
        return render_verified(*args)

    with ExitStack() as patches:
        patches.enter_context(patch.object(zip_part, "render_verified", slow))
        patches.enter_context(patch.multiple(image_timer, TICK_SECONDS=0.01, IMAGE_SECONDS=5))
        factories.work()
    return factories.find(scene.conn, render).done == 1


MAX_STEPS = 100_000
"""In lines of Python: many times what it takes to fit 1,200 letters at five sizes."""


class TooManySteps(Exception):
    """The attack succeeded: the work does not end soon."""


def caption_without_a_space(_scene: Scene) -> bool:
    """Return True if wrapping takes more than MAX_STEPS. Unlike a duration, they are the same on every machine."""
    steps = 0

    def count(*_: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > MAX_STEPS:
            raise TooManySteps
        return count

    text = captions.caption_text("description", "spy123", "W" * 2_000, frozenset(range(0x2100)))
    tracer = sys.gettrace()
    sys.settrace(count)
    try:
        captions.fit(text, 95, 96, lambda c: 0.99)
    except TooManySteps:
        return True
    finally:
        sys.settrace(tracer)
    return False


def large_page_with_one_small_label(scene: Scene) -> bool:
    """Return True if a page is rasterized with more than 40 million pixels, for one label of a hundred thousand."""
    one = {"left_margin_mm": 0, "top_margin_mm": 0, "columns": 1, "rows": 1, "column_pitch_mm": 0, "row_pitch_mm": 0}
    sides = {"page_width_mm": 500, "page_height_mm": 500, "label_width_mm": 12, "label_height_mm": 12}
    sizes: list[int] = []

    def record(_spec: Any, pixels: Any) -> bool:
        sizes.append(pixels.base.size)
        return True

    options = {"output": "label_sheet", "template": "t", "caption": "none", "sheet": LabelTemplate(**one | sides)}
    with patch.object(label_sheets, "decodes_to", record):
        factories.add_render(scene.conn, scene.attacker.org_id, [scene.own_code()], **options)
        factories.work()
    assert sizes
    return max(sizes) > 40_000_000


def wrap_by_trying_each_cut(text: str, ends: Sequence[float], room: float, _: int) -> list[tuple[int, int]]:
    """Wrap as a first draft would: remove letters from the end until the rest fits."""
    lines: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = len(text)
        while ends[end] - ends[start] > room and end > start + 1:
            end -= 1
        lines.append((start, end))
        start = end
    return lines


ATTACKS = [
    Attack(
        "names that escape a ZIP",
        names_that_leave_the_archive,
        all_of(taking_any_text(CodeBody, "code"), without_check("qr_codes", "qr_codes_code_form")),
    ),
    Attack(
        "a PNG of 30,000 x 30,000 pixels as logo",
        many_pixels_decoded,
        all_of(replaced(logos, "MAX_PIXELS", 10**12), replaced(Image, "MAX_IMAGE_PIXELS", None)),
    ),
    Attack(
        "a backlog of renders before those of another organization",
        backlog_before_another_organization,
        replaced(fair_claims, "CLAIM_NEXT", fair_claims.CLAIM_NEXT.replace("leased_rows, last_turn NULLS FIRST, ", "")),
    ),
    Attack(
        "a caption of 2,000 letters without a space",
        caption_without_a_space,
        replaced(captions, "_wrap", wrap_by_trying_each_cut),
    ),
    Attack(
        "a page of half a meter with one small label",
        large_page_with_one_small_label,
        replaced(label_sheets, "MAX_PAGE_PIXELS", 10**12),
    ),
    Attack("an image without an end", image_without_an_end, replaced(ImageTimer, "_count", lambda _: None)),
    Attack("100 kB of regex bait", regexes.bait_taken, replaced(accounts, "EMAIL", r"^([a-z0-9]+\.?)+@example$")),
]
