"""`waymark renders`: render the images of many codes into one file. Each change is recorded in the audit log."""

import os
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.errors import CodeRotates
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.infra.relay_wakeup import wake_relay
from shared.infra.storage.factory import storage
from shared.messages import RenderFilesUnneeded, RendersPending
from shared.organizations import usage
from shared.renders import code_selection, label_template_store, store
from shared.renders.label_templates import Caption
from shared.renders.rules import MAX_CODES, Output, Render, RenderOptions
from shared.settings import settings
from workers.cli.codes import code_ids
from workers.cli.commands import ID, CommandError, Group, confirm, yes_option
from workers.cli.completions import complete_code, complete_organization, complete_render
from workers.cli.lookups import find_organization
from workers.cli.output import report, show_rows
from workers.cli.watching import watch as watch_job

NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def renders() -> None:
    """Render many codes into a ZIP of images or a PDF of labels."""


@renders.command("list")
@click.argument("slug", shell_complete=complete_organization)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="At most this many renders.")
def list_renders(slug: str, limit: int) -> None:
    """List the renders of an organization, newest first."""
    with db.connection() as conn:
        listed = store.list_for_organization(conn, find_organization(conn, slug), limit=limit)
    show_rows(map(_to_row, listed), empty=f"No renders of {slug}", limit=limit)


@renders.command()
@click.argument("slug", shell_complete=complete_organization)
@click.argument("codes", nargs=-1, metavar="[CODE]...", shell_complete=complete_code)
@click.option("--tag", help="Render the codes with this tag.")
@click.option("--all", "everything", is_flag=True, help="Render all codes of the organization.")
@click.option(
    "--output", type=click.Choice(get_args(Output)), default="zip", help="Images in a ZIP, or labels in a PDF."
)
@click.option("--format", "image_format", type=click.Choice(get_args(Format)), default="png", help="Images in a ZIP.")
@click.option("--size", type=click.IntRange(MIN_SIZE, MAX_SIZE), default=300, help="Size of the images in a ZIP.")
@click.option("--error-correction", type=click.Choice(get_args(ErrorCorrection)), default="M", help="H resists most.")
@click.option("--template", default="a4-3x8", help="Label template: its name or id.")
@click.option("--caption", type=click.Choice(get_args(Caption)), default="code", help="Text beside each label.")
@click.option("--start-at", type=click.IntRange(1), default=1, help="First label of the first sheet that gets a code.")
@click.option("-o", "--file", type=NEW_FILE, help="Wait, and write the file of the render.")
@click.option("--no-wait", is_flag=True, help="Return while workers render.")
def start(
    slug: str,
    codes: tuple[str, ...],
    tag: str | None,
    everything: bool,
    output: Output,
    image_format: Format,
    size: int,
    error_correction: ErrorCorrection,
    template: str,
    caption: Caption,
    start_at: int,
    file: Path | None,
    no_wait: bool,
) -> None:
    """Start a render of these codes, of a tag, or of all codes, and show its progress."""
    if [bool(codes), tag is not None, everything].count(True) != 1:
        raise click.UsageError("Give CODEs, --tag or --all.")
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        raise CommandError(f"{file.absolute().parent} is not a directory that can be written")
    options = RenderOptions(output=output, format=image_format, size=size, error_correction=error_correction)
    with db.transaction() as conn:
        org_id = find_organization(conn, slug)
        if output != "zip":
            options = _label_options(conn, org_id, error_correction, template, caption, start_at)
        qr_ids = code_ids(conn, org_id, list(codes)) if codes else code_selection.select_code_ids(conn, org_id, tag)
        if not qr_ids or len(qr_ids) > MAX_CODES:
            raise CommandError(f"Select 1 to {MAX_CODES:,} codes. These are {len(qr_ids):,}.")
        if not code_selection.has_printable(conn, qr_ids):
            raise CommandError(CodeRotates.MESSAGE)
        render_id = store.add(conn, org_id, None, options, qr_ids)
        usage.check_files(conn, org_id, added_bytes=0, limit_mb=settings().max_files_mb_per_organization)
        # Behind the lock of the usage, renders that start at once are counted in turn.
        store.check_open(conn, org_id)
        new = {name: value for name, value in vars(options).items() if name != "sheet"} | {"codes": len(qr_ids)}
        audit.record(conn, OPERATOR, "render.started", org_id=org_id, object_id=render_id, new=new)
    background_sender.submit(RendersPending())
    background_sender.flush()
    if no_wait:
        report(f"Started render {render_id}. See `waymark renders watch {render_id}`", render_id=render_id)
    else:
        _watch(render_id, file)


@renders.command()
@click.argument("render_id", metavar="ID", type=ID, shell_complete=complete_render)
@click.option("-o", "--file", type=NEW_FILE, help="Write the file of the render.")
def watch(render_id: UUID, file: Path | None) -> None:
    """Show the progress of a render until it ends. Ctrl-C does not stop the render."""
    _watch(render_id, file)


@renders.command()
@click.argument("render_id", metavar="ID", type=ID, shell_complete=complete_render)
@click.option("-o", "--file", type=NEW_FILE, required=True, help="The file to write.")
def fetch(render_id: UUID, file: Path) -> None:
    """Write the file of a finished render."""
    _fetch(_find(render_id), file)
    report(f"Wrote {file}", render_id=render_id, file=file)


@renders.command()
@click.argument("render_id", metavar="ID", type=ID, shell_complete=complete_render)
@yes_option
def cancel(render_id: UUID, yes: bool) -> None:
    """Cancel an open render, or delete the file of a finished one."""
    render = _find(render_id)
    confirm(f"Cancel render {render_id} of {render.total:,} codes, or delete its file?", yes=yes)
    with db.transaction() as conn:
        store.cancel(conn, render.org_id, render_id)
        audit.record(conn, OPERATOR, "render.canceled", org_id=render.org_id, object_id=render_id)
    wake_relay()
    background_sender.submit(RenderFilesUnneeded(str(render_id)))
    background_sender.flush()
    report(f"Canceled render {render_id}", render_id=render_id)


def _label_options(
    conn: Conn, org_id: UUID, error_correction: ErrorCorrection, template: str, caption: Caption, start_at: int
) -> RenderOptions:
    found = label_template_store.find(conn, org_id, template)
    if found is None:
        raise CommandError(f"No label template {template}")
    if start_at > found.sheet.per_page:
        raise CommandError(f"A sheet of {template} has {found.sheet.per_page} labels. Use a smaller --start-at.")
    return RenderOptions(
        output="label_sheet",
        error_correction=error_correction,
        template=found.name,
        sheet=found.sheet,
        caption=caption,
        start_at=start_at,
    )


def _watch(render_id: UUID, file: Path | None) -> None:
    render = watch_job("Rendering", RendersPending(), lambda: _find(render_id))
    with db.connection() as conn:
        errors = store.list_errors(conn, render_id) if render.failed else []
    if render.status != "done":
        raise CommandError(f"Render {render_id} is {render.status}{f': {render.reason}' if render.reason else ''}")
    if file is not None:
        _fetch(render, file)
    report(
        "\n".join(
            (
                *(f"{error.qr_id}: {error.message}" for error in errors),
                f"Rendered {render.done:,} of {render.total:,} codes{f' into {file}' if file else ''}",
            )
        ),
        **_to_row(render),
        file=file,
        errors=[vars(error) for error in errors],
    )


def _fetch(render: Render, file: Path) -> None:
    if render.file_name is None or render.is_expired:
        raise CommandError(f"Render {render.id} has no file: it is {render.status}, or its file has expired")
    with file.open("wb") as written:
        written.writelines(storage().read(render.file_name))


def _find(render_id: UUID) -> Render:
    with db.connection() as conn:
        render = store.get_many(conn, [render_id]).get(render_id)
    if render is None:
        raise CommandError(f"No render {render_id}")
    return render


def _to_row(render: Render) -> dict[str, Any]:
    return {
        "id": render.id,
        "status": render.status,
        "output": render.output,
        "total": render.total,
        "done": render.done,
        "failed": render.failed,
        "created_at": render.created_at,
        "expires_at": render.expires_at,
    }
