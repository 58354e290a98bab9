"""What all sections of the configuration file have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from remediator.config.scalars import PERCENT, OrNone, choice, duration, text, whole

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAME_RULE = "is not a name; A to Z, a to z, 0 to 9, '.', '_' and '-' are allowed, 63 at most"

Count = Annotated[int, whole(0)]
Duration = Annotated[timedelta, duration()]
DurationOrNone = Annotated[Annotated[timedelta, duration()] | None, OrNone()]
Pause = Annotated[timedelta, duration(timedelta(0))]
Deadline = Annotated[timedelta, duration(most=timedelta(minutes=10))]
Keepalive = Annotated[timedelta, duration(SECOND, timedelta(seconds=32767), seconds=True)]
Name = Annotated[str, text(_NAME, _NAME_RULE, "name")]
Text = Annotated[str, text()]
Words = Annotated[tuple[Text, ...], Field(min_length=1)]
Ratio = Annotated[float, PERCENT]
RatioOrNone = Annotated[Annotated[float, PERCENT] | None, OrNone()]
WhenWord = Annotated[Literal["still_critical", "always"], choice("still_critical", "always")]


class Section(BaseModel):
    """A mapping of the file: strict about its keys, silent about its values."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )
