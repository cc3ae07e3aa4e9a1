"""Manage the quests of the installation.

python -m workers.cli.quests load FILE                  add quests from a YAML file, or change those with the same name
python -m workers.cli.quests list                       list all quests
python -m workers.cli.quests activate QUEST ORG_SLUG    let scans of an organization's codes advance a quest
python -m workers.cli.quests deactivate QUEST           let no scans advance it
"""

import argparse
import sys
from operator import attrgetter
from pathlib import Path

import psycopg
import psycopg_pool

from shared.errors import FieldError
from shared.infra import db
from shared.infra.logging import configure
from shared.quests import definitions, rewards, yaml_loader


def load(file: Path) -> str:
    """Store all quests of the file, or none. Return a report."""
    quests = yaml_loader.parse(file.read_text())
    names = [quest.name for quest in quests]
    with db.transaction() as conn:
        also = rewards.quests_sharing(conn, [quest.reward for quest in quests if quest.reward], but=names)
        # By name, so that two writers never wait for each other.
        changed = [quest.name for quest in sorted(quests, key=attrgetter("name")) if definitions.save(conn, quest)]
        # After the writes: each has waited for an organization that was creating a quest of its name.
        if taken := definitions.names_of_organizations(conn, names):
            raise yaml_loader.QuestFileError(
                *(
                    FieldError(f"quests.{names.index(name)}.name", f"{name} is a quest of the organization {slug}.")
                    for name, slug in taken
                )
            )
    report = f"Read {len(quests)} quests, added or changed {len(changed)}{': ' if changed else ''}{', '.join(changed)}"
    return f"{report}\nThese quests share a changed reward: {', '.join(also)}" if also else report


def list_quests() -> str:
    """Return one line per quest: name, streak and duplication, reward, whether scans advance it, its issuer."""
    with db.connection() as conn:
        quests = definitions.list_all(conn)
    return "\n".join(
        f"{quest.name:32}{quest.streak:>6} x {quest.duplication:<8}"
        f"{f'{quest.quantity} {quest.item}' if quest.item else '-':24}"
        f"{('scans, active' if quest.active else 'scans, inactive') if quest.by_scans else ''}"
        f"{f', {quest.organization}' if quest.organization else ''}".rstrip()
        for quest in quests
    )


def set_organization(name: str, org_slug: str | None) -> str:
    """Let scans of this organization's codes advance the quest; None: no scans. Exit if either does not exist."""
    with db.transaction() as conn:
        org_id = None
        if org_slug is not None:
            row = conn.execute("SELECT id FROM organizations WHERE slug = %(slug)s", {"slug": org_slug}).fetchone()
            if row is None:
                raise SystemExit(f"No organization with slug {org_slug!r}")
            org_id = row[0]
        if not definitions.set_organization(conn, name, org_id):
            raise SystemExit(f"No quest {name!r} of the operator that scans advance")
    return f"Deactivated {name}" if org_slug is None else f"Activated {name} for {org_slug}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.cli.quests", description="Manage quests")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("load", help="add quests, or change those with the same name").add_argument("file", type=Path)
    commands.add_parser("list", help="list all quests")
    activate = commands.add_parser("activate", help="let scans of an organization's codes advance a quest")
    activate.add_argument("quest")
    activate.add_argument("organization", metavar="ORG_SLUG")
    commands.add_parser("deactivate", help="let no scans advance a quest").add_argument("quest")
    options = parser.parse_args(arguments)
    configure("quests")
    db.require_database()
    try:
        match options.command:
            case "load":
                print(load(options.file))
            case "list":
                print(list_quests())
            case "activate":
                print(set_organization(options.quest, options.organization))
            case "deactivate":
                print(set_organization(options.quest, None))
    except yaml_loader.QuestFileError as error:
        raise SystemExit(f"{options.file} was not loaded.\n{error}") from None
    except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
        raise SystemExit(f"The database is unavailable or refused the change: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SystemExit(str(error)) from None
    finally:
        db.close_pool()


if __name__ == "__main__":
    main(sys.argv[1:])
