"""Previews of a design: what they show, what they refuse, and what they suggest."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.images import render, verification
from shared.images.color_adjustment import darken, lighten
from shared.images.contrast import contrast_ratio
from shared.images.customizations import Customization
from shared.images.image_spec import ImageSpec
from shared.images.readback import is_readable
from shared.images.suggestions import MAX_TRIALS, suggest
from shared.infra.db import Conn
from tests.images.designs import CUSTOM, logo
from tests.support.callers import Staff
from tests.support.factories import make_code

COLORS = st.integers(0, 2**24 - 1).map("#{:06X}".format)
WHITE, BLACK = "#FFFFFF", "#000000"


@pytest.fixture
def preview(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    """Preview a design as an admin: `preview(style="dots")`."""

    def send(**form: Any) -> Any:
        return client.post(
            f"{code}/customization/preview",
            data=form,
            content_type="multipart/form-data",
            headers=staff.admin.headers,
        )

    return send


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[ImageSpec]:
    """Every spec that was verified."""
    specs: list[ImageSpec] = []

    def record(spec: ImageSpec, logo: bytes | None = None) -> bytes:
        specs.append(spec)
        return render.render(spec, logo)

    monkeypatch.setattr(verification, "render", record)
    return specs


def test_a_preview_shows_the_design_and_stores_nothing(
    conn: Conn, preview: Any, upload: Any, put: Any, customization: Any
) -> None:
    put(**CUSTOM)
    stored = customization()

    response = preview(foreground_color="#0e5a48", logo=(BytesIO(logo()), "logo.png"))

    assert (response.status_code, response.content_type) == (200, "image/svg+xml")
    assert response.headers["Cache-Control"] == "no-store"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    contrast = contrast_ratio("#0E5A48", CUSTOM["background_color"])
    assert float(response.headers["X-Contrast"]) == pytest.approx(contrast, abs=0.01)
    assert (response.headers["X-Read-Back"], response.headers["X-Error-Correction"]) == ("1", "H")
    assert b"#0e5a48" in response.data
    assert b"data:image/png" in response.data
    assert customization() == stored
    assert conn.execute("SELECT count(*) FROM audit_log WHERE action LIKE 'logo%'").fetchone() == (0,)


def test_a_preview_equals_the_image_that_is_then_served(preview: Any, put: Any, upload: Any, get_image: Any) -> None:
    upload(logo())
    shown = preview(**CUSTOM).data

    put(**CUSTOM)

    assert get_image(format="svg").data == shown
    assert preview().data == shown, "an omitted field has the stored value"


def test_a_preview_without_the_stored_logo(preview: Any, upload: Any) -> None:
    upload(logo())

    with_logo, without = preview(), preview(remove_logo="true")

    assert (b"data:image" in with_logo.data, b"data:image" in without.data) == (True, False)
    assert without.headers["X-Error-Correction"] == "M"


def test_the_preview_of_a_rotating_code_encodes_no_valid_step(
    client: Any, conn: Conn, staff: Staff, preview: Any, code: str
) -> None:
    conn.execute("UPDATE qr_codes SET rotating = true WHERE id = %s", (code.rpartition("/")[2],))

    assert preview(style="dots").status_code == 200


@pytest.mark.parametrize(
    ("form", "loc", "suggestion"),
    [
        ({"foreground_color": "#959595"}, "form.foreground_color", "foreground_color"),
        ({"foreground_color": "#FFD700"}, "form.foreground_color", "foreground_color"),
        ({"foreground_color": "#EEEEEE", "background_color": "#CCCCCC"}, "form.foreground_color", "foreground_color"),
        ({"foreground_color": WHITE, "background_color": BLACK}, "form.foreground_color", None),
        ({"foreground_color": "red"}, "form.foreground_color", None),
        ({"logo_size_percent": "31"}, "form.logo_size_percent", None),
        ({"logo_size_percent": "x"}, "form.logo_size_percent", None),
        ({"style": "stars"}, "form.style", None),
        ({"logo": "https://evil.example/logo.png"}, "form.logo", None),
        ({"remove_logo": "yes"}, "form.remove_logo", None),
        ({"color": "#000000"}, "form.color", None),
    ],
    ids=str,
)
def test_a_refused_design_is_named_with_the_nearest_that_works(
    preview: Any, form: dict[str, str], loc: str, suggestion: str | None
) -> None:
    response = preview(**form)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == loc
    suggested = response.json.get("suggestion")
    assert (suggested and list(suggested)) == (suggestion and [suggestion])
    if suggested:
        assert preview(**form | suggested).status_code == 200


def test_files_that_are_no_logo_are_refused(client: Any, staff: Staff, code: str, preview: Any) -> None:
    both = preview(logo=(BytesIO(logo()), "logo.png"), remove_logo="true")
    json = client.post(f"{code}/customization/preview", json={}, headers=staff.admin.headers)
    large = preview(logo=(BytesIO(logo().ljust(2**20 + 1, b"\x00")), "logo.png"))

    assert preview(logo=(BytesIO(b"x"), "logo.png")).json["errors"][0]["loc"] == "form.logo"
    assert both.json["errors"][0]["loc"] == "form.remove_logo"
    assert (json.status_code, large.status_code) == (415, 413)


def test_a_code_of_another_organization_is_not_found(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn)}/customization/preview"

    response = client.post(
        path, data={"style": "dots"}, content_type="multipart/form-data", headers=staff.admin.headers
    )

    assert response.status_code == 404


@pytest.mark.parametrize("largest", [30, 22, 10, 9])
def test_a_smaller_logo_is_suggested_within_three_renders(
    preview: Any, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(
        verification, "is_readable", lambda spec, data: spec.logo_percent <= largest and is_readable(spec, data)
    )

    response = preview(logo=(BytesIO(logo()), "logo.png"), logo_size_percent="30")

    assert len(specs) <= 1 + MAX_TRIALS
    if largest == 30:
        assert response.status_code == 200
    elif largest == 9:
        assert "suggestion" not in response.json
    else:
        assert largest - 3 <= response.json["suggestion"]["logo_size_percent"] <= largest


@given(COLORS, COLORS, st.booleans(), st.integers(0, 8))
def test_a_suggestion_is_darker_and_was_found_readable(
    foreground: str, background: str, has_logo: bool, answers: int
) -> None:
    trials: list[Customization] = []

    def is_readable(design: Customization) -> bool:
        trials.append(design)
        return bool(answers >> (len(trials) - 1) & 1)

    rejected = Customization(foreground, background, logo_digest="0" * 64 if has_logo else None)
    suggestion = suggest(rejected, is_readable)

    assert len(trials) <= MAX_TRIALS
    for design in trials:
        assert contrast_ratio(design.foreground_color, background) >= 3
    if suggestion is not None:
        assert any(suggestion.items() <= vars(design).items() for design in trials)


@given(COLORS, COLORS, st.sampled_from([3.0, 4.5, 7.0]))
def test_an_adjusted_color_has_the_contrast_or_none_has(color: str, background: str, ratio: float) -> None:
    for adjust, end in ((darken, BLACK), (lighten, WHITE)):
        adjusted = adjust(color, background, ratio)
        if adjusted is None:
            assert contrast_ratio(end, background) < ratio
        else:
            assert contrast_ratio(adjusted, background) >= ratio
            assert contrast_ratio(adjusted, end) <= contrast_ratio(color, end) + 0.001
