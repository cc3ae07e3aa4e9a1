"""`waymark qr`: draw and read QR codes. Needs no store and no settings."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import click

from shared.errors import Invalid
from shared.images.contrast import check_colors
from shared.images.image_spec import DEFAULT_DPI, MAX_DPI, MIN_DPI, ErrorCorrection, Format, ImageSpec, Style
from workers.cli.commands import Command, CommandError
from workers.cli.output import is_json, print_json, report
from workers.cli.tables import printable

FORMATS: dict[str, Format] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
"""The formats by the ending of a file's name."""
MIN_SIZE, MAX_SIZE = 21, 20_000
STDOUT = Path("-")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _color(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    if not re.fullmatch("#[0-9A-Fa-f]{6}", value):
        raise click.BadParameter("Use a color such as #1A2B3C.")
    return value


@click.command(cls=Command, database=False)
@click.argument("text", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write a .png, .svg or .pdf file. With -, write to stdout.",
)
@click.option("--format", "stdout_format", type=click.Choice(["png", "svg", "pdf"]), help="Format of `-o -`.")
@click.option(
    "--read", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the codes in an image."
)
@click.option("--size", type=click.IntRange(MIN_SIZE, MAX_SIZE), default=600, help="Width: pixels, or points of a PDF.")
@click.option(
    "--error-correction", type=click.Choice(["L", "M", "Q", "H"]), default="M", help="H survives most damage."
)
@click.option("--style", type=click.Choice(["squares", "dots", "rounded"]), default="squares", help="Shape of modules.")
@click.option("--foreground", callback=_color, default="#000000", help="Color of the modules.")
@click.option("--background", callback=_color, default="#FFFFFF", help="Color behind them.")
@click.option("--logo", type=FILE, help="A PNG or JPEG for the middle.")
@click.option("--dpi", type=click.IntRange(MIN_DPI, MAX_DPI), default=DEFAULT_DPI, help="Pixels per inch of a PNG.")
def qr(
    text: str | None,
    output: Path | None,
    stdout_format: Format | None,
    read: Path | None,
    size: int,
    error_correction: ErrorCorrection,
    style: Style,
    foreground: str,
    background: str,
    logo: Path | None,
    dpi: int,
) -> None:
    """Draw a QR code of a text, or read the codes in an image.

    Without --output, the code appears in the terminal. A code with colors, a style or a logo is decoded before it is
    written. An existing file is replaced.
    """
    if (text is None) == (read is None):
        raise click.UsageError("Give a TEXT to draw, or --read FILE.")
    if read is not None:
        _read(read)
        return
    assert text is not None  # noqa: S101 - one of them is given
    if output is None:
        _draw_in_terminal(text, error_correction)
        return
    spec = ImageSpec(
        text=text,
        format=_format(output, stdout_format),
        size=size,
        level="H" if logo else error_correction,
        foreground=foreground,
        background=background,
        style=style,
        dpi=dpi,
    )
    with _errors_without_fields():
        data = _draw(spec, None if logo is None else logo.read_bytes())
    # Before the file: a reader of a pipe may end as soon as it has the image.
    warnings = _color_warnings(foreground, background)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    if output == STDOUT:
        sys.stdout.buffer.write(data)
    else:
        output.write_bytes(data)
        report(f"Wrote {output} ({len(data):,} bytes)", file=output, bytes=len(data), text=text, warnings=warnings)


def _format(output: Path, stdout_format: Format | None) -> Format:
    if output == STDOUT:
        if stdout_format is None:
            raise click.UsageError("Give --format png, svg or pdf with `-o -`.")
        if is_json():
            raise click.UsageError("Give either --json or `-o -`: both write to stdout.")
        if sys.stdout.isatty() and stdout_format != "svg":
            raise click.UsageError("A terminal shows no image. Redirect stdout, or name a file.")
        return stdout_format
    if stdout_format is not None:
        raise click.UsageError("Give --format only with `-o -`. The name of a file ends in its format.")
    if output.suffix.lower() not in FORMATS:
        raise click.BadParameter("Use a name that ends in .png, .svg or .pdf.", param_hint="--output")
    return FORMATS[output.suffix.lower()]


def _color_warnings(foreground: str, background: str) -> list[str]:
    """Return a sentence for each reason why cameras may not read these colors."""
    return [
        f"--foreground: {error.message.replace('background_color', '--background')} Phones may not read this code."
        for error in check_colors(foreground, background)
    ]


@contextmanager
def _errors_without_fields() -> Iterator[None]:
    """Report errors of the renderer. Their fields are those of a request."""
    try:
        yield
    except Invalid as error:
        raise CommandError(" ".join(field.message for field in error.field_errors) or str(error)) from error


def _draw(spec: ImageSpec, logo: bytes | None) -> bytes:
    from shared.images.logos import sanitize_logo
    from shared.images.verification import render_verified

    if logo is None:
        return render_verified(spec)
    pixels = sanitize_logo(logo)
    return render_verified(replace(spec, logo=sha256(pixels).hexdigest()), pixels)


def _draw_in_terminal(text: str, level: ErrorCorrection) -> None:
    """Print two rows of modules per line. Black on white in any color scheme, with the quiet zone of the standard."""
    from shared.images.layout import QUIET_ZONE
    from shared.images.symbol import encode

    with _errors_without_fields():
        dark = encode(text, level)
    if is_json():
        print_json({"text": text, "error_correction": level, "modules": dark.astype(int).tolist()})
        return
    side = len(dark) + 2 * QUIET_ZONE
    is_dark = [
        [
            QUIET_ZONE <= y < side - QUIET_ZONE
            and QUIET_ZONE <= x < side - QUIET_ZONE
            and bool(dark[y - QUIET_ZONE, x - QUIET_ZONE])
            for x in range(side)
        ]
        for y in range(side + side % 2)
    ]
    for upper, lower in zip(is_dark[::2], is_dark[1::2], strict=True):
        line = "".join(" ▄▀█"[2 * above + below] for above, below in zip(upper, lower, strict=True))
        click.echo(click.style(line, fg="black", bg="bright_white"), color=True)


def _read(file: Path) -> None:
    from shared.images.readback import UnknownImage, read_texts

    try:
        texts = read_texts(file.read_bytes())
    except UnknownImage as error:
        raise CommandError(f"{file}: {error}") from error
    if not texts:
        raise CommandError(f"{file} shows no QR code that can be read")
    if is_json():
        print_json([{"text": text} for text in texts])
    else:
        for text in texts:
            click.echo(printable(text))
