"""`waymark qr`: codes that are drawn are read."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.infra import db
from tests.support.command_line import error_of, run, waymark, waymark_json

TEXT = "https://codes.example/s/abc?é"


@pytest.fixture(autouse=True)
def no_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store and no settings."""

    def fail() -> None:
        raise AssertionError("qr needs no store")

    monkeypatch.setattr(db, "require_database", fail)


@pytest.mark.parametrize("options", [(), ("--style", "dots", "--foreground", "#102030", "--error-correction", "H")])
@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_code_that_is_drawn_is_read(tmp_path: Path, ending: str, options: tuple[str, ...]) -> None:
    file = tmp_path / f"poster.{ending}"
    assert waymark("qr", TEXT, "-o", file, *options).startswith(f"Wrote {file} (")
    assert waymark("qr", "--read", file) == f"{TEXT}\n"
    assert waymark_json("qr", "--read", file) == [{"text": TEXT}]


def test_code_with_a_logo_is_read_from_a_rotated_photo(tmp_path: Path) -> None:
    logo, drawn, photo = (tmp_path / name for name in ("logo.png", "code.png", "photo.jpg"))
    Image.fromarray(np.full((60, 60, 3), (200, 30, 30), np.uint8)).save(logo)
    waymark("qr", TEXT, "-o", drawn, "--logo", logo)
    with Image.open(drawn) as image:
        image.convert("RGB").rotate(20, expand=True, fillcolor="white").save(photo)
    assert waymark("qr", "--read", photo) == f"{TEXT}\n"


def test_code_in_the_terminal_is_read(tmp_path: Path) -> None:
    """Two modules per character, one above the other."""
    lines = run("qr", "hi", color=True).stdout.splitlines()
    blocks = {" ": (0, 0), "▄": (0, 1), "▀": (1, 0), "█": (1, 1)}
    rows = [[blocks[character] for character in line if character in blocks] for line in lines]
    dark = np.array([[cell[k] for cell in row] for row in rows for k in range(2)], np.uint8)
    Image.fromarray(255 * (1 - np.kron(dark, np.ones((8, 8), np.uint8)))).save(tmp_path / "terminal.png")
    assert waymark("qr", "--read", tmp_path / "terminal.png") == "hi\n"
    assert len(waymark_json("qr", "hi")["modules"]) == 21


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("x", "-o", "a.gif"), 2, ".png, .svg or .pdf"),
        ((), 2, "Give a TEXT"),
        (("x", "--foreground", "red", "-o", "a.png"), 2, "#1A2B3C"),
        (("x", "-o", "/nonexistent/a.png"), 1, "/nonexistent/a.png"),
        (("x" * 3000, "-o", "a.png"), 1, "holds 2,331 bytes"),
        (("x", "--foreground", "#FFFFFF", "-o", "a.png"), 1, ""),
        (("x", "-o", "-"), 2, "Give --format png, svg or pdf"),
        (("x", "-o", "-", "--format", "png", "--json"), 2, "both write to stdout"),
        (("x", "-o", "a.png", "--format", "svg"), 2, "The name of a file ends in its format"),
        (("", "-o", "a.png"), 1, "Use at least one character"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of("qr", *arguments, status=status)
    assert list(tmp_path.iterdir()) == []


def test_code_is_written_to_a_pipe(tmp_path: Path) -> None:
    done = run("qr", TEXT, "-o", "-", "--format", "png")
    assert (done.exit_code, done.stderr) == (0, "")
    (tmp_path / "piped.png").write_bytes(done.stdout_bytes)
    assert waymark("qr", "--read", tmp_path / "piped.png") == f"{TEXT}\n"


@pytest.mark.parametrize(
    ("colors", "warning"),
    [
        (("--foreground", "#DDDDDD"), "contrast of at least 3.0 with --background. This color has 1.35"),
        (("--foreground", "#888888"), None),
    ],
)
def test_colors_that_cameras_may_not_read_are_a_warning(
    tmp_path: Path, colors: tuple[str, ...], warning: str | None
) -> None:
    done = run("qr", TEXT, "-o", tmp_path / "a.png", *colors, "--json")
    assert done.exit_code == 0
    assert (warning or "") in done.stderr
    assert len(json.loads(done.stdout)["warnings"]) == int(warning is not None)


def test_file_without_a_code_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    assert "Use a PNG, JPEG, WebP, SVG or PDF file." in error_of("qr", "--read", tmp_path / "text")
    assert "shows no QR code" in error_of("qr", "--read", tmp_path / "empty.png")
    (tmp_path / "damaged.pdf").write_bytes(b"%PDF-1.7 nothing")
    assert "Use a PNG" in error_of("qr", "--read", tmp_path / "damaged.pdf")


def test_control_characters_of_a_code_are_escaped(tmp_path: Path) -> None:
    waymark("qr", "a\x1b[2Jb", "-o", tmp_path / "a.png")
    assert waymark("qr", "--read", tmp_path / "a.png") == "a\\x1b[2Jb\n"
