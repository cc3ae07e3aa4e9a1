"""Requests and responses of bulk renders."""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from shared.codes.schemas import TagText
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format
from shared.renders.label_templates import MAX_LABELS, SOLD_AS, Caption
from shared.renders.rules import MAX_CODES, Output, RenderStatus
from web.http.schemas import (
    Body,
    Id,
    LargeBody,
    Name,
    OrganizationPath,
    ResponseModel,
    StrictBool,
    Timestamp,
    WholeNumber,
)

RENDER_EXAMPLE = "0197a6b0-0000-7000-8000-000000000003"
RENDER_PATH_EXAMPLE = f"/api/organizations/0197a6b0-0000-7000-8000-000000000001/renders/{RENDER_EXAMPLE}"
TEMPLATE_DESCRIPTION = "Name or id of a label template. " + ", ".join(
    f"{name}: {product}" for name, product in SOLD_AS.items()
)


def _only_true(value: bool) -> bool:
    if not value:
        raise ValueError("Use true, or omit this field.")
    return value


LiteralTrue = Annotated[StrictBool, AfterValidator(_only_true), WithJsonSchema({"type": "boolean", "const": True})]


class LabelBody(Body):
    """The template of a label sheet, the caption beside each code, and the first label that gets one."""

    template: Name = Field("a4-3x8", description=TEMPLATE_DESCRIPTION)
    caption: Caption = Field(
        "code", description="Shortened to what the label holds at five points, and to 1,200 characters at most"
    )
    start_at: Annotated[int, WholeNumber(1, MAX_LABELS)] = Field(
        1, description="The first label of the first sheet that gets a code. Those before it stay blank"
    )


class RenderBody(LargeBody):
    """The codes, by exactly one of `qr_ids`, `tag` and `all`, and the options of their images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tag": "city-walk",
                    "output": "label_sheet",
                    "label": {"template": "a4-3x8", "caption": "description", "start_at": 1},
                },
                {"all": True, "format": "svg", "size": 300, "error_correction": "M"},
            ]
        }
    )

    qr_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_CODES, fail_fast=True)] | None = None
    tag: TagText | None = None
    all: LiteralTrue | None = None
    format: Format = Field("png", description="Format of the images in a ZIP; a label sheet is one PDF")
    size: Annotated[int, WholeNumber(MIN_SIZE, MAX_SIZE)] = Field(300, description="Size of the images in a ZIP")
    error_correction: ErrorCorrection = Field("M", description="Always H for a code with a logo")
    output: Output = "zip"
    label: LabelBody | None = Field(None, description="Options of a label sheet")

    @field_validator("label")
    @classmethod
    def _label_needs_sheet(cls, label: LabelBody | None, fields: ValidationInfo) -> LabelBody | None:
        if label is not None and fields.data.get("output") == "zip":
            raise ValueError("Set output to label_sheet, or omit this field.")
        return label

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if sum(selection is not None for selection in (self.qr_ids, self.tag, self.all)) != 1:
            raise ValueError("Give exactly one of qr_ids, tag and all.")
        return self


class RenderPath(OrganizationPath):
    render_id: Id


class FailedCodeResponse(ResponseModel):
    qr_id: Id
    message: str = Field(examples=["This code was deleted."])


class RenderResponse(ResponseModel):
    """A render. `done` and `failed` count codes.

    `errors` lists the first 500 codes that failed, and `reason` explains why a whole render failed. `download_url` is
    valid without a token for one hour. Each response contains a new one. `expires_at` applies to the file.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "render_id": RENDER_EXAMPLE,
                    "status": "done",
                    "total": 120,
                    "done": 119,
                    "failed": 1,
                    "progress": 1.0,
                    "reason": None,
                    "errors": [
                        {"qr_id": "0197a6b0-0000-7000-8000-000000000002", "message": "This code has been deleted."}
                    ],
                    "output": "label_sheet",
                    "format": "png",
                    "size": 300,
                    "error_correction": "M",
                    "label": {"template": "a4-3x8", "caption": "description", "start_at": 1},
                    "created_at": "2026-02-12T10:00:00Z",
                    "finished_at": "2026-02-12T10:00:04Z",
                    "status_url": RENDER_PATH_EXAMPLE,
                    "download_url": f"{RENDER_PATH_EXAMPLE}/download?expires=1770894004&signature=9f2c",
                    "bytes": 182044,
                    "file_name": f"renders/{RENDER_EXAMPLE}/0197a6b0-0000-4000-8000-000000000009.pdf",
                    "expires_at": "2026-02-19T10:00:04Z",
                }
            ]
        }
    )

    render_id: Id
    status: RenderStatus
    total: int
    done: int
    failed: int
    progress: float = Field(ge=0, le=1)
    reason: str | None
    errors: list[FailedCodeResponse]
    output: Output
    format: Format
    size: int
    error_correction: ErrorCorrection
    label: LabelBody | None
    created_at: Timestamp
    finished_at: Timestamp | None
    status_url: str
    download_url: str | None
    bytes: int | None = Field(description="Size of the file")
    file_name: str | None = Field(
        description="Where the file is: its name below FILES_DIR/kept, or in the bucket. Null until it exists"
    )
    expires_at: Timestamp | None


class RendersResponse(ResponseModel):
    items: list[RenderResponse]
    next_cursor: str | None
