"""What bodies, queries and answers are made of: the field types of `shared/infra/schema_types.py`, those of HTTP alone,
and the JSON that is let in."""

from functools import cache
from typing import Annotated, Any, ClassVar
from uuid import UUID

from flask.json.provider import DefaultJSONProvider
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema

from shared.accounts.rules import USERNAME
from shared.infra import strict_json
from shared.infra.schema_types import (
    Body,
    FiniteFloat,
    HttpUrl,
    Int32,
    Integer,
    Latitude,
    Longitude,
    PositiveInt,
    SingleLine,
    StrictBool,
    Text,
    Timestamp,
)

__all__ = [
    "Body",
    "FiniteFloat",
    "HttpUrl",
    "Id",
    "Int32",
    "Integer",
    "Latitude",
    "Longitude",
    "PatchBody",
    "PositiveInt",
    "Query",
    "QueryBool",
    "ResponseModel",
    "SingleLine",
    "StrictBool",
    "StrictJSONProvider",
    "Text",
    "Timestamp",
    "Username",
]


class PatchBody(Body):
    """A body of which only the fields given change anything; an explicit null clears what may be null."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Without defaults: what is absent stays as it was."""
        found = handler(schema)
        for field in handler.resolve_ref_schema(found).get("properties", {}).values():
            field.pop("default", None)
        return found

    def changes(self) -> dict[str, Any]:
        """The fields given, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Query(BaseModel):
    """A query string. Name subclasses `…Query`: errors name their part of the request by it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, values: Any) -> Any:
        strict_json.check_values(values, "query")
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Without null, which no query string can say: what is not asked for is left out."""
        found = handler(schema)
        for field in handler.resolve_ref_schema(found).get("properties", {}).values():
            match [option for option in field.get("anyOf", ()) if option != {"type": "null"}]:
                case [only]:
                    del field["anyOf"]
                    field.pop("default", None)
                    field.update(only)
        return found

    @classmethod
    @cache
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Cached: the framework asks for it on every request."""
        return super().model_json_schema(*args, **kwargs)


class ResponseModel(BaseModel):
    """A response body. Views give values; times and ids are written as the contract says."""

    model_config = ConfigDict(from_attributes=True)
    nullable: ClassVar[bool] = True


def _hyphenated(value: object) -> object:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or len(value) != 36:
        raise ValueError("must be a UUID such as 0197a6b0-0000-7000-8000-000000000000")
    return value


def _true_or_false(value: object) -> object:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


QueryBool = Annotated[bool, BeforeValidator(_true_or_false)]
Id = Annotated[UUID, BeforeValidator(_hyphenated), WithJsonSchema({"type": "string", "format": "uuid"})]
Username = Annotated[str, StringConstraints(pattern=USERNAME)]


class StrictJSONProvider(DefaultJSONProvider):
    """What is let in, and how it is written: nothing that RFC 8259 has not, or PostgreSQL could not store."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return strict_json.loads(s, **kwargs)
