"""Many codes over HTTP: change or delete those that a filter matches, or those with the given ids."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from shared.analytics import cache_versions
from shared.codes import rules, selection, store
from shared.codes.filters import CodeFilter
from shared.codes.rules import ScanType
from shared.codes.schemas import TagText
from shared.codes.selection import MAX_SELECTED
from shared.codes.store import StoredCode
from shared.errors import FieldError, Invalid
from shared.images import store as images
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import yielding
from web.api.codes import api
from web.http.audit_log import record
from web.http.auth import requires_role
from web.http.schemas import (
    Body,
    Id,
    OrganizationPath,
    PatchBody,
    ResponseModel,
    StrictBool,
    Timestamp,
    WholeNumber,
)

MAX_IDS = 1_000
FIELD_OF_RULE = {"body.expires_at": "body.set.expires_at", "body.tags": "body.add_tags"}
"""Where a request has the field that breaks a rule of a code."""


class CodeFilterBody(Body):
    """A filter as of the list of codes. An empty one matches all codes."""

    q: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Part of the code text, of an alias or of the description"
    )
    tag: Annotated[str, StringConstraints(max_length=64)] | None = None
    scan_type: ScanType | None = None
    active: StrictBool | None = None


class CodeSelectionBody(Body):
    """The codes to change: by their ids or by a filter."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)] | None = Field(
        None, description="The codes, by their ids"
    )
    filter: CodeFilterBody | None = Field(None, description="Instead of `ids`: the codes that match")
    expected: Annotated[int, WholeNumber(0, MAX_SELECTED)] | None = Field(
        None, description="How many codes are selected. Required with `filter`", examples=[None]
    )

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("Give either ids or filter.")
        if self.filter is not None and self.expected is None:
            raise ValueError("With a filter, give expected: the number of codes that it matches.")
        return self

    def lock(self, conn: Conn, org_id: UUID) -> list[UUID]:
        """Lock the selected codes, and return their ids in order."""
        if self.filter is None or self.expected is None:
            return selection.lock_ids(conn, org_id, self.ids or (), expected=self.expected)
        conditions = CodeFilter(self.filter.q, self.filter.tag, self.filter.scan_type, self.filter.active)
        return selection.lock_matching(conn, org_id, conditions, expected=self.expected)

    def audit_fields(self) -> dict[str, Any]:
        """Return the filter, for the audit log. Ids are counted only."""
        return {} if self.filter is None else {"filter": self.filter.model_dump(exclude_none=True)}


class CodeChangesBody(PatchBody):
    """The fields to set. `expires_at` null clears it."""

    active: StrictBool = True
    expires_at: Timestamp | None = None


class ManyCodesPatchBody(CodeSelectionBody):
    """A selection of codes, and what to change in each of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filter": {"tag": "summer"}, "expected": 34, "set": {"active": False}, "add_tags": ["2026"]}]
        }
    )

    set: CodeChangesBody = Field(default_factory=CodeChangesBody, description="Fields that get the same value")
    add_tags: Annotated[list[TagText], Field(max_length=rules.MAX_TAGS)] = Field(
        default_factory=list, description="Tags that each code has afterwards"
    )
    remove_tags: Annotated[list[TagText], Field(max_length=rules.MAX_TAGS)] = Field(
        default_factory=list, description="Tags that no code has afterwards"
    )

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if both := sorted(set(self.add_tags) & set(self.remove_tags)):
            raise ValueError(f"Either add or remove the tag {both[0]}.")
        return self

    def apply(self, code: StoredCode) -> StoredCode:
        """Return the code as it will be. Raise Invalid if it would break a rule of a single code."""
        tags = rules.change_tags(code.tags, self.add_tags, self.remove_tags)
        changed = replace(code, **self.set.changes(), tags=tags)
        if errors := rules.find_errors(changed):
            raise Invalid(
                *(
                    FieldError(
                        FIELD_OF_RULE.get(error.loc, "body"), f"{error.message} The code {code.code} would be invalid."
                    )
                    for error in errors
                )
            )
        return changed


class ManyCodesDeletionBody(CodeSelectionBody):
    """A selection of codes to delete."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["0197a6b0-0000-7000-8000-000000000002"]}]})


class ManyCodesPatchResponse(ResponseModel):
    matched: int = Field(description="Codes that were selected", examples=[34])
    changed: int = Field(description="Codes that differ from before", examples=[34])


class ManyCodesDeletionResponse(ResponseModel):
    deleted: int = Field(description="Codes that were deleted", examples=[1])


@api.patch("", responses={200: ManyCodesPatchResponse, 409: None})
@requires_role("admin", scope="codes:write")
def update_many_codes(path: OrganizationPath, body: ManyCodesPatchBody) -> dict[str, int]:
    """Update many codes

    Needs the role admin. Changes up to 10,000 codes, all or none. Select them by up to 1,000 ids, or by a filter as of
    the list. 409 if another number of codes than `expected` is selected. 422 names the first code that would
    become invalid.
    """
    with db.transaction() as conn:
        qr_ids = body.lock(conn, path.org_id)
        changed = selection.save(conn, _changed(conn, path.org_id, qr_ids, body))
        if changed:
            new = body.audit_fields() | {"codes": changed, "set": body.set.changes()}
            new |= {"add_tags": body.add_tags, "remove_tags": body.remove_tags}
            record(conn, "codes.changed", org_id=path.org_id, new=new)
            cache_versions.bump_version(conn, path.org_id)
    return {"matched": len(qr_ids), "changed": changed}


@api.delete("", responses={200: ManyCodesDeletionResponse, 409: None})
@requires_role("admin", scope="codes:write")
def delete_many_codes(path: OrganizationPath, body: ManyCodesDeletionBody) -> dict[str, int]:
    """Delete many codes

    Needs the role admin. Deletes up to 10,000 codes, all or none. Select them by up to 1,000 ids, or by a filter as of
    the list. 409 if another number of codes than `expected` is selected, or if a code that stays has one of them
    as its destination.
    """
    with db.transaction() as conn:
        qr_ids = body.lock(conn, path.org_id)
        deleted = store.delete(conn, path.org_id, *qr_ids)
        if deleted:
            images.remove_customization(conn, *qr_ids)
            record(conn, "codes.deleted", org_id=path.org_id, old=body.audit_fields() | {"codes": deleted})
            cache_versions.bump_version(conn, path.org_id)
    return {"deleted": deleted}


def _changed(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID], body: ManyCodesPatchBody) -> Iterator[StoredCode]:
    """Yield the codes that differ after the change."""
    for before in yielding(selection.read(conn, org_id, qr_ids)):
        after = body.apply(before)
        if after != before:
            yield after
