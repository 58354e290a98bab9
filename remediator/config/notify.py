"""Schema of who is told what happens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict

from remediator.config.scalars import OneOrMore, OrNone, choice, duration, secret
from remediator.config.section import MINUTE, Name, Section
from remediator.core.model import Mode
from remediator.core.notice import DEFAULT_KINDS, KINDS

_MODES = tuple(mode.value for mode in Mode)


class Notify(Section):
    """Somebody who is told what happens; exactly one of `url` and `url_file` says where."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["url"]}, {"required": ["url_file"]}]}
    )

    name: Name
    """What events and commands call it."""
    url: Annotated[str | None, secret()] = None
    """Where to, as Apprise writes it; a secret as a whole, better kept in a file or a variable."""
    url_file: Annotated[str | None, secret()] = None
    """File with the URL; a bare name is looked for as that of a password is."""
    events: Annotated[tuple[Annotated[str, choice(*KINDS)], ...], OneOrMore()] = DEFAULT_KINDS
    """What is told; by default what needs or calms a person."""
    databases: Annotated[tuple[Name, ...], OneOrMore(least=0)] = ()
    """Of which databases; none written is all of them."""
    modes: Annotated[tuple[Annotated[str, choice(*_MODES)], ...], OneOrMore()] = _MODES
    """In which modes; what is told of a dry run says so in its first words."""
    remind_every: Annotated[Annotated[timedelta, duration(MINUTE, timedelta(days=31))] | None, OrNone()] = (
        timedelta(hours=4)
    )
    """After how long a fact that lasts is told again; `none` is never."""
