"""The reference of all commands, in Markdown. `python -m tests.cli.reference` writes it into docs/command-line.md."""

from collections.abc import Iterator
from pathlib import Path

import click

from workers.cli.main import SECTIONS, waymark

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
HEADING = "\n## Reference\n"


def reference() -> str:
    """Return a table of commands for each section of the help, with every argument and option."""
    root = click.Context(waymark, info_name="waymark")
    parts = [HEADING, "Every command has `--json` and `--help`."]
    for section, names in SECTIONS.items():
        parts += [f"\n### {section}\n", "| command | |", "|---|---|"]
        for name in names:
            command = waymark.get_command(root, name)
            assert command is not None
            parts += [_row(context) for context in leaves(click.Context(command, parent=root, info_name=name))]
    return "\n".join(parts) + "\n"


def leaves(context: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of the commands in a group, in the order of its help."""
    group = context.command
    if not isinstance(group, click.Group):
        yield context
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from leaves(click.Context(command, parent=context, info_name=name))


def _row(context: click.Context) -> str:
    command = context.command
    arguments = [each.make_metavar(context) for each in command.get_params(context) if isinstance(each, click.Argument)]
    sentences = " ".join((command.help or "").split())
    options = [
        _option(each, context)
        for each in command.get_params(context)
        if isinstance(each, click.Option) and not {"--help", "--json"}.intersection(each.opts)
    ]
    usage = " ".join([context.command_path.removeprefix("waymark "), *arguments]).replace("|", " or ")
    return f"| `{usage}` | {'<br>'.join([sentences, *options])} |"


def _option(option: click.Option, context: click.Context) -> str:
    value = option.make_metavar(context).replace("INTEGER RANGE", "N").replace("|", " or ")
    names = ", ".join(f"`{name}`" if option.is_flag else f"`{name} {value}`" for name in option.opts)
    return f"{names}{' (required)' if option.required else ''}: {option.help}"


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(HEADING)[0] + reference())
