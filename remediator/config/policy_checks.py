"""Mistakes that only show when several figures of one policy are looked at together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from remediator.config import units
from remediator.config.policies import Policy
from remediator.config.tree import Loc, at

if TYPE_CHECKING:
    from remediator.config.checks import Checker

_IDLING = ("idle", "never_used", "idle_in_transaction")
_PROBED = ("refusing_connections", "connect_latency")
_READ = ("utilization", "exhausted_within", "churn", *_IDLING)


def needs_probe(level: object) -> bool:
    """Tell whether a level has conditions, and all of them are about what the probe meets."""
    return _any(level, _PROBED) and not _any(level, _READ)


def _any(level: object, conditions: Iterable[str]) -> bool:
    return any(getattr(level, key) for key in conditions)


@dataclass(frozen=True, slots=True)
class PolicyChecker:
    """Checks that the figures of one policy go together."""

    checker: Checker
    policy: Policy
    loc: Loc

    def run(self) -> None:
        """Check everything."""
        self._has_conditions()
        self._utilization_rises()
        for key in _IDLING:
            self._idle_rises(key)
        self._leaving()

    def _note(self, keys: str, text: str, other: str = "name") -> None:
        loc, involved = ((*self.loc, *path.split(".")) for path in (keys, other))
        self.checker.note(loc, text, involved)

    def _has_conditions(self) -> None:
        levels = self.policy.levels
        for name in ("monitor", "alert", "critical"):
            level = getattr(levels, name)
            if not _any(level, (*_READ, *_PROBED)):
                self._note(f"levels.{name}", "has no condition left, so it would never hold; one is needed")

    def _utilization_rises(self) -> None:
        levels = self.policy.levels
        given = [
            (name, ratio)
            for name in ("monitor", "alert", "critical")
            if (ratio := getattr(levels, name).utilization) is not None
        ]
        for (lower, low), (upper, high) in pairwise(given):
            if low >= high:
                shown = f"{units.format_percent(low)} of {lower} to {units.format_percent(high)} of {upper}"
                keys, other = f"levels.{upper}.utilization", f"levels.{lower}.utilization"
                # Where only the lower level's was written, that is the one to point at.
                if at(self.checker.tree, (*self.loc, *keys.split("."))) is None:
                    keys, other = other, keys
                self._note(keys, f"levels must rise, but go from {shown}", other)

    def _idle_rises(self, key: str) -> None:
        levels = self.policy.levels
        names = ("monitor", "alert", "critical")
        given = [(name, idle) for name in names if (idle := getattr(getattr(levels, name), key))]
        for (lower, low), (upper, high) in pairwise(given):
            if type(low.count) is not type(high.count):
                continue  # which of a number and a share is more depends on the server
            weaker = high.older_than <= low.older_than and high.count <= low.count
            if weaker and (high.older_than, high.count) != (low.older_than, low.count):
                text = f"levels must rise, but this holds earlier than {key} of {lower}"
                keys, other = f"levels.{upper}.{key}", f"levels.{lower}.{key}"
                if at(self.checker.tree, (*self.loc, *keys.split("."))) is None:
                    keys, other, text = other, keys, f"levels must rise, but {key} of {upper} holds earlier"
                self._note(keys, text, other)

    def _leaving(self) -> None:
        levels, until = self.policy.levels, self.policy.remediate.until.utilization
        lowest = next(
            (r for level in (levels.monitor, levels.alert, levels.critical) if (r := level.utilization)), None
        )
        if lowest is not None and self.policy.clear.margin >= lowest:
            shown = units.format_percent(lowest)
            text = f"must be below the lowest utilization of a level, {shown}, or that level is never left"
            self._note("clear.margin", text, "levels")
        critical = levels.critical.utilization
        if critical is not None and until >= critical:
            shown = units.format_percent(critical)
            text = f"must be below critical's utilization, {shown}, or nothing is ever done"
            keys = ("remediate", "until", "utilization")
            if at(self.checker.tree, (*self.loc, *keys)):
                self._note(".".join(keys), text, "levels.critical.utilization")
            else:
                cause = (*self.loc, "levels", "critical", "utilization")
                text = f"its default {units.format_percent(until)} {text}"
                self.checker.note_default((*self.loc, *keys), text, cause)
