"""What every section of the settings is: frozen, and closed to unknown keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(sorted(known))}"
