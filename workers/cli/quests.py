"""`waymark quests`: the quests of the installation, and the replay of their events."""

from operator import attrgetter
from pathlib import Path
from uuid import UUID

import click

from shared.audit import store as audit
from shared.audit.store import OPERATOR
from shared.errors import FieldError
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.signals import stopping_on_signals
from shared.quests import definitions, rewards, yaml_loader
from shared.quests.replay import BATCH
from workers.cli.commands import ID, INTERRUPTED, CommandError, Group
from workers.cli.completions import complete_organization
from workers.cli.lookups import find_organization
from workers.cli.output import report, show_rows
from workers.cli.quest_replay import replay as replay_events


@click.group(cls=Group)
def quests() -> None:
    """Load, list and activate quests, and verify the states of players."""


@quests.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load_file(file: Path) -> None:
    """Add the quests of a YAML file, or change those with the same name. All of them, or none."""
    try:
        read, changed, sharing = load(file.read_text())
    except (yaml_loader.QuestFileError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} was not loaded.\n{error}") from error
    sentence = f"Read {read} quests, added or changed {len(changed)}{': ' if changed else ''}{', '.join(changed)}"
    if sharing:
        sentence += f"\nThese quests share a changed reward: {', '.join(sharing)}"
    report(sentence, read=read, changed=changed, sharing_a_changed_reward=sharing)


def load(text: str) -> tuple[int, list[str], list[str]]:
    """Store all quests of the text, or none.

    Return how many it has, the names of those that changed, and the names of other quests that share a changed reward.
    """
    parsed = yaml_loader.parse(text)
    names = [quest.name for quest in parsed]
    with db.transaction() as conn:
        sharing = rewards.quests_sharing(conn, [quest.reward for quest in parsed if quest.reward], but=names)
        # By name, so that two writers never wait for each other.
        changed = [quest.name for quest in sorted(parsed, key=attrgetter("name")) if definitions.save(conn, quest)]
        for name in changed:
            audit.record(conn, OPERATOR, "quest.changed", org_id=None, object_id=name)
        # After the writes: each has waited for an organization that was creating a quest of its name.
        if taken := definitions.names_of_organizations(conn, names):
            raise yaml_loader.QuestFileError(
                *(
                    FieldError(f"quests.{names.index(name)}.name", f"{name} is a quest of the organization {slug}.")
                    for name, slug in taken
                )
            )
    return len(parsed), changed, sharing


@quests.command("list")
def list_quests() -> None:
    """List all quests: how many steps complete them, their reward, and whether scans advance them."""
    with db.connection() as conn:
        listed = definitions.list_all(conn)
    show_rows(
        (
            {
                "name": quest.name,
                "streak": quest.streak,
                "duplication": quest.duplication,
                "item": quest.item,
                "quantity": quest.quantity,
                "by_scans": quest.by_scans,
                "active": quest.active,
                "organization": quest.organization,
            }
            for quest in listed
        ),
        empty="No quests",
    )


@quests.command()
@click.argument("quest")
@click.argument("slug", shell_complete=complete_organization)
def activate(quest: str, slug: str) -> None:
    """Let scans of an organization's codes advance a quest."""
    set_organization(quest, slug)
    report(f"Activated {quest} for {slug}", quest=quest, organization=slug)


@quests.command()
@click.argument("quest")
def deactivate(quest: str) -> None:
    """Let no scans advance a quest."""
    set_organization(quest, None)
    report(f"Deactivated {quest}", quest=quest, organization=None)


def set_organization(name: str, slug: str | None) -> None:
    """Let scans of this organization's codes advance the quest; None: no scans."""
    with db.transaction() as conn:
        org_id = None if slug is None else find_organization(conn, slug)
        if not definitions.set_organization(conn, name, org_id):
            raise CommandError(_refusal(conn, name))
        action = "quest.deactivated" if org_id is None else "quest.activated"
        audit.record(conn, OPERATOR, action, org_id=org_id, object_id=name)


def _refusal(conn: Conn, name: str) -> str:
    for _, slug in definitions.names_of_organizations(conn, [name]):
        return f"{name} is a quest of the organization {slug}, whose members activate it"
    if definitions.find(conn, name) is None:
        return f"No quest {name}"
    return f"Scans do not advance {name}: see the column By scans of `waymark quests list`"


@quests.command()
@click.option("--player", "player_id", type=ID, help="Replay one player only.")
@click.option("--restart", is_flag=True, help="Ignore the checkpoint of an interrupted replay.")
@click.option("--batch", type=click.IntRange(1), default=BATCH, metavar="EVENTS", help="Events per read.")
def replay(player_id: UUID | None, restart: bool, batch: int) -> None:
    """Compute each state from its events, and compare it with the stored one.

    An interrupted replay of all players continues where it stopped. Exits with 1 if a state differs.
    """
    with stopping_on_signals() as stopping:
        result = replay_events(player_id, restart=restart, batch=batch, stopping=stopping)
    done = result.checkpoint
    if not result.is_complete:
        sentence = f"Stopped after {done.events:,} events. The next replay continues here"
    else:
        sentence = (
            f"{done.events:,} events folded into {done.states:,} states, "
            f"{result.events_read / result.seconds:,.0f} events/s\n"
            f"folded    {done.folded_digest.hex() or '-'}\n"
            f"stored    {done.stored_digest.hex() or '-'}\n"
            f"{f'{done.differences:,} differences' if done.differences else 'No difference'}"
        )
    report(
        sentence,
        events=done.events,
        states=done.states,
        difference_count=done.differences,
        differences=result.differences,
        folded_digest=done.folded_digest.hex(),
        stored_digest=done.stored_digest.hex(),
        is_complete=result.is_complete,
    )
    if not result.is_complete:
        click.get_current_context().exit(INTERRUPTED)
    if done.differences:
        click.get_current_context().exit(1)
