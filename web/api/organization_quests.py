"""Quests of an organization over HTTP: create, list, change, delete, as JSON or YAML."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, ConfigDict, Field
from werkzeug.routing import BaseConverter

from shared.audit.rules import redact
from shared.errors import FieldError, Invalid, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread
from shared.quests import organization_quests as store
from shared.quests.definitions import QuestDefinition
from shared.quests.organization_quests import OrganizationQuest, QuestManager
from shared.quests.schemas import QuestEntry, QuestFields, Streak, to_definition_fields
from web.http.audit_log import record, record_change
from web.http.auth import requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_cursor, paginate
from web.http.request_context import YAML_TYPES, accepts_yaml, is_yaml, returns_yaml
from web.http.responses import json_response
from web.http.schemas import Id, OrganizationPath, PatchBody, Query, QueryBool, ResponseModel, StrictBool, Timestamp
from web.http.settings import current_settings

api = APIBlueprint(
    "organization_quests",
    __name__,
    url_prefix="/api/organizations/<org_id>/quests",
    abp_tags=[Tag(name="Quests")],
)

ACTIVE = Field(False, description="True if scans advance it")
SCHEMAS = "#/components/schemas/"
YAML = YAML_TYPES[0]
DOCUMENT = {
    "schema": {
        "type": "object",
        "properties": {
            "quests": {
                "type": "array",
                "items": {"$ref": f"{SCHEMAS}QuestEntry"},
                "description": "Quests as in JSON. Fields with their default values can be left out",
            }
        },
        "required": ["quests"],
    },
    "example": {"quests": [{"name": "harbor-trail", "streak": 5, "tags": ["landmark"]}]},
}
"""The OpenAPI schema of YAML."""
CREATED = {
    "description": "The quest, or with YAML the list of the created quests",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [{"$ref": f"{SCHEMAS}{name}"} for name in ("ManagedQuestResponse", "ManagedQuestsResponse")]
            }
        }
    },
}


class QuestNameConverter(BaseConverter):
    """A quest's name in a path: any segment except the names of other routes."""

    regex = r"(?!simulate\Z)[^/]+"


def _without_nul(name: str) -> str:
    """Return a name that PostgreSQL can compare. No quest has a name with NUL or its replacement."""
    return name.replace("\x00", "\ufffd")


class QuestPath(OrganizationPath):
    name: Annotated[str, AfterValidator(_without_nul)] = Field(
        description="Name of the quest", examples=["harbor-trail"]
    )


class QuestBody(QuestEntry):
    """A new quest of an organization, with codes or tags."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "harbor-trail",
                    "description": "Visit five landmarks of the harbor.",
                    "tags": ["landmark"],
                    "streak": 5,
                    "reward": {"item": "badge", "quantity": 1},
                    "active": True,
                }
            ]
        }
    )

    active: StrictBool = ACTIVE


class QuestPatchBody(PatchBody, QuestFields):
    """The fields to change. The changed quest must be valid as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"streak": 4, "active": True}]})

    streak: Streak = Field(1, description="Number of steps that complete it")
    active: StrictBool = ACTIVE


class FormatQuery(Query):
    format: Literal["json", "yaml"] | None = Field(
        None, description="`yaml` returns YAML, as `Accept: application/yaml` does", examples=["json"]
    )


class QuestsQuery(PageQuery, FormatQuery):
    active: QueryBool | None = Field(None, description="Only quests that are active, or only those that are not")


class ManagedQuestRewardResponse(ResponseModel):
    item: str = Field(description="Name of the item", examples=["badge"])
    quantity: int = Field(description="Number of items")


class ManagedQuestResponse(ResponseModel):
    """A quest as its admins see it, with the number of players in it."""

    name: str = Field(description="Name, unique in the installation", examples=["harbor-trail"])
    org_id: Id = Field(description="The organization whose codes advance it, and which issues its reward")
    managed_by: QuestManager = Field(description="`operator`: the organization cannot change it")
    description: str = Field(description="What players do to complete it")
    codes: list[str] = Field(description="Texts of the codes whose scans advance it", examples=[[]])
    tags: list[str] = Field(description="Tags of the codes whose scans advance it", examples=[["landmark"]])
    streak: int = Field(description="Number of steps that complete it", examples=[5])
    duplication: int = Field(description="How often a player can complete it", examples=[1])
    daily: bool = Field(description="Each day counts once, in the player's time zone", examples=[False])
    grace_days: int = Field(description="Days that may be missed between two counted days", examples=[0])
    in_order: bool = Field(description="True if the codes or tags count in their order only", examples=[False])
    within_seconds: int | None = Field(description="From the first to the last step; null: no limit", examples=[None])
    min_interval_seconds: int = Field(description="An action so soon after the last step does not count", examples=[0])
    reward: ManagedQuestRewardResponse | None = Field(description="Reward of a completion; null: none")
    auto_claim: bool = Field(description="True if a completion claims its reward automatically", examples=[False])
    active: bool = Field(description="True if scans advance it")
    players_in_progress: int = Field(description="Players with steps since their last completion", examples=[12])
    completions: int = Field(description="Completions by all players", examples=[40])
    claims: int = Field(description="Claimed rewards of all players", examples=[38])
    created_at: Timestamp
    updated_at: Timestamp


class ManagedQuestsResponse(ResponseModel):
    items: list[ManagedQuestResponse]
    next_cursor: str | None


@api.post(
    "",
    request_body={
        "required": True,
        "content": {
            "application/json": {
                "schema": QuestBody.model_json_schema(ref_template=SCHEMAS + "{model}"),
                "example": QuestBody.model_config["json_schema_extra"]["examples"][0],  # type: ignore[index]
            }
        }
        | {YAML: DOCUMENT},
    },
    responses={201: CREATED, 409: None},
)
@requires_role("admin")
@idempotent
@accepts_yaml
def create_organization_quest(path: OrganizationPath) -> Response:
    """Create a quest of the organization

    Needs the role admin. Successful scans of the organization's own codes advance it while it is active. 422 if the
    organization has no such code, or if fields contradict each other. 409 if any organization or the operator has a
    quest of this name, or if the organization has as many quests as its quota allows. A body of `application/yaml`, in
    the format of the operator's file, creates all its quests, inactive, or none. The response is then their list.
    """
    active = {}
    if is_yaml():
        quests = _parse_yaml()
    else:
        body = QuestBody.model_validate(request.get_json())
        quests, active = [body.definition()], {body.name: body.active}
    names = [quest.name for quest in quests]
    with transaction() as conn:
        # First, because it bounds the number of quests to check.
        store.check_quota(conn, path.org_id, added=len(quests), limit=current_settings().max_quests_per_organization)
        locations = (f"body.quests.{index}" if is_yaml() else "body" for index in range(len(quests)))
        store.check(conn, path.org_id, dict(zip(locations, quests, strict=True)))
        # By name, so that two writers never wait for each other.
        for quest in sorted(quests, key=lambda quest: quest.name):
            is_active = active.get(quest.name, False)
            store.add(conn, path.org_id, quest, active=is_active, reserved=_reserved_names())
            new = _audit_fields(quest, active=is_active)
            record(conn, "quest.created", org_id=path.org_id, object_id=quest.name, new=redact(new))
        created = [_to_response(_find(conn, path.org_id, name)) for name in names]
    path_of_list = f"/api/organizations/{path.org_id}/quests"
    if is_yaml():
        return json_response({"items": created, "next_cursor": None}, 201, Location=path_of_list)
    return json_response(created[0], 201, Location=f"{path_of_list}/{names[0]}")


@api.get("", responses={200: ManagedQuestsResponse})
@requires_role("admin")
@returns_yaml(DOCUMENT)
def list_organization_quests(path: OrganizationPath, query: QuestsQuery) -> Any:
    """List quests of the organization

    Needs the role admin. By name: those that the organization manages, and active ones that the operator manages for
    it. As YAML, the header `Link` leads to the next page.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    with db.connection() as conn:
        quests = store.list_for_organization(conn, path.org_id, active=query.active, after=after, limit=query.limit + 1)
    page, next_cursor = paginate(quests, query.limit, lambda quest: (quest.name,))
    if _wants_yaml(query):
        return _yaml_response(page, next_cursor)
    return {"items": [_to_response(quest) for quest in page], "next_cursor": next_cursor}


@api.get("/<quest_name:name>", responses={200: ManagedQuestResponse})
@requires_role("admin")
@returns_yaml(DOCUMENT)
def get_organization_quest(path: QuestPath, query: FormatQuery) -> Any:
    """Get a quest of the organization

    Needs the role admin. As YAML, it is a document that `POST …/quests` and the operator's command accept.
    """
    with db.connection() as conn:
        quest = _find(conn, path.org_id, path.name)
    return _yaml_response([quest]) if _wants_yaml(query) else _to_response(quest)


@api.patch("/<quest_name:name>", responses={200: ManagedQuestResponse, 409: None})
@requires_role("admin")
def update_organization_quest(path: QuestPath, body: QuestPatchBody) -> dict[str, Any]:
    """Update a quest of the organization

    Needs the role admin. Changes only the fields in the body, at once. Progress of players is kept, and counts toward
    the new goal. 409 if the operator manages the quest.
    """
    changes = body.changes()
    with db.transaction() as conn:
        before = store.lock(conn, path.org_id, path.name)
        if before is None:
            raise NotFound
        changed = replace(before, **to_definition_fields(changes))
        # A code that was deleted since does not prevent other changes.
        store.check(conn, path.org_id, {"body": changed}, checks_codes="codes" in changes)
        store.update(conn, changed)
        old, new = (_audit_fields(quest, active=quest.active) for quest in (before, changed))
        record_change(conn, "quest.changed", old, new, org_id=path.org_id, object_id=path.name)
        return _to_response(_find(conn, path.org_id, path.name))


@api.delete("/<quest_name:name>", responses={204: None, 409: None})
@requires_role("admin")
def delete_organization_quest(path: QuestPath) -> tuple[str, int]:
    """Delete a quest of the organization

    Needs the role admin. 409 once a player has progress on it or has claimed its reward: set `active` to false instead.
    409 if the operator manages it.
    """
    with db.transaction() as conn:
        quest = store.lock(conn, path.org_id, path.name)
        if quest is None:
            raise NotFound
        store.delete(conn, path.org_id, path.name)
        old = redact(_audit_fields(quest, active=quest.active))
        record(conn, "quest.deleted", org_id=path.org_id, object_id=path.name, old=old)
    return "", 204


def _reserved_names() -> set[str]:
    """Return the names of the quests that sign-ins and sign-ups advance, which the catalog may not have yet."""
    settings = current_settings()
    return {settings.signin_quest, settings.signup_quest}


def _parse_yaml() -> list[QuestDefinition]:
    """Return the quests of the body. Raise Invalid."""
    from shared.quests import yaml_loader  # noqa: PLC0415 - when first used

    try:
        text = request.get_data().decode("utf-8-sig")
        return run_in_thread(lambda: yaml_loader.parse(text))
    except UnicodeDecodeError:
        raise Invalid(FieldError("body", "Use UTF-8.")) from None
    except yaml_loader.QuestFileError as error:
        raise Invalid(
            *(FieldError(f"body.{each.loc}".rstrip("."), each.message) for each in error.field_errors)
        ) from None


def _wants_yaml(query: FormatQuery) -> bool:
    if query.format is not None:
        return query.format == "yaml"
    return request.accept_mimetypes.best_match(("application/json", *YAML_TYPES), "application/json") in YAML_TYPES


def _yaml_response(quests: Sequence[OrganizationQuest], next_cursor: str | None = None) -> Response:
    from shared.quests import yaml_writer  # noqa: PLC0415 - when first used

    text = run_in_thread(lambda: yaml_writer.dump(quests))
    response = Response(text, content_type=f"{YAML}; charset=utf-8")
    if next_cursor is not None:
        parameters = urlencode(request.args.to_dict() | {"cursor": next_cursor})
        response.headers["Link"] = f'<{request.path}?{parameters}>; rel="next"'
    return response


def _find(conn: Conn, org_id: UUID, name: str) -> OrganizationQuest:
    quest = store.find(conn, org_id, name)
    if quest is None:
        raise NotFound
    return quest


def _audit_fields(quest: QuestDefinition, *, active: bool) -> dict[str, Any]:
    """Return the fields that an entry of the audit log holds: those that do not have their default value."""
    values = {field.name: getattr(quest, field.name) for field in fields(QuestDefinition)}
    if quest.reward is not None:
        values["reward"] = {"item": quest.reward.item, "quantity": quest.reward.quantity}
    values = {
        field.name: values[field.name] for field in fields(QuestDefinition) if values[field.name] != field.default
    }
    return values | {"active": active}


def _to_response(quest: OrganizationQuest) -> dict[str, Any]:
    return ManagedQuestResponse.model_validate(quest).model_dump(mode="json")
