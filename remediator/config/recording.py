"""Schema of what is kept of the readings."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from remediator.config.scalars import size
from remediator.config.section import Pause, Section
from remediator.config.units import Size

_LEAST = Size(1_000_000)
_MOST = Size(100_000_000_000)


class Recording(Section):
    """What is kept of what each check saw, for the charts, for `replay` and for `history show`."""

    keep: Pause = timedelta(days=90)
    """For how long: every reading for a day, then one a minute for a week, then one in ten minutes. Those of
    incidents are kept whole. `0s` keeps none."""
    max_size: Annotated[Size, size(_LEAST, _MOST)] = Size(200_000_000)
    """How much room that may take in the state directory; the oldest make way."""
