"""What all settings are made of: frozen models, and fields with a title, a sentence, a unit and a source. No torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def setting(default: Any, title: str, help: str, *, unit: str = "", source: str = "", **rules: Any) -> Any:
    return Field(default, title=title, description=help, json_schema_extra={"unit": unit, "source": source}, **rules)
