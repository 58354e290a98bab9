"""Mistakes that only show when several keys are looked at together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remediator.config.overlay import env_name
from remediator.config.policies import CULPRIT, Restart
from remediator.config.policy_checks import PolicyChecker, needs_probe
from remediator.config.problems import Problems, did_you_mean
from remediator.config.schema import Root
from remediator.config.targets import Sessions
from remediator.config.tree import Loc, Mapping, Scalar, Sequence, at, lost, near

_RESERVED = "has a meaning of its own in steps; choose another name"
_NAMES = 20
"""Names that a message lists at most."""


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks a schema-valid configuration against itself.

    Args:
        root: What was validated.
        tree: The same as it was written, to point at.
        problems: Where mistakes are noted.
    """

    root: Root
    tree: Mapping
    problems: Problems

    def run(self) -> None:
        """Check everything."""
        for section in ("services", "clients", "policies", "notify"):
            self._unique(section, lambda item: item.name, "this name")
        same = "this name, or one that differs only in case or punctuation,"
        self._unique("databases", lambda item: env_name(item.name), same)
        self._unique("services", lambda item: item.compose, "this project and service")
        self._passwords()
        self._clients()
        self._connections()
        self._exactly_one()
        self._references()
        for index, policy in enumerate(self.root.policies):
            PolicyChecker(self, policy, ("policies", index)).run()
        self._probes()

    def note(self, loc: Loc, text: str, *involved: Loc) -> None:
        """Note a mistake, unless it may only follow from another one that is noted already."""
        if any(lost(self.tree, path) for path in (loc, *involved)):
            return
        node = near(self.tree, loc)
        self.problems.add(node.place, node.where, text)

    def note_default(self, loc: Loc, text: str, cause: Loc) -> None:
        """Note that a value which was not written does not go with one that was, and point at that one."""
        if not any(lost(self.tree, path) for path in (loc, cause)):
            self.problems.add(near(self.tree, cause).place, _dotted(loc), text)

    def _unique(self, section: str, key: Callable[[Any], object], what: str) -> None:
        first: dict[object, Loc] = {}
        for index, item in enumerate(getattr(self.root, section)):
            loc: Loc = (section, index)
            value = key(item)
            if value is None:
                continue
            if value in first:
                place = near(self.tree, first[value]).place
                name = (*loc, "name")
                self.note(name, f"{what} is taken already, on line {place.line}; each is allowed once", name)
            first.setdefault(value, loc)

    def _passwords(self) -> None:
        for index, database in enumerate(self.root.databases):
            if database.password and database.password_file:
                self.note(
                    ("databases", index, "password_file"), "is given besides password; keep one of them"
                )

    def _clients(self) -> None:
        for index, service in enumerate(self.root.services):
            if service.name == CULPRIT:
                self.note(("services", index, "name"), _RESERVED)
        services = {service.name for service in self.root.services}
        for index, client in enumerate(self.root.clients):
            loc: Loc = ("clients", index)
            if client.name in services:
                text = "is the name of a service, too; write its patterns as that service's `sessions`"
                self.note((*loc, "name"), text, ("services",))
            self._looks(loc, client)
        for index, service in enumerate(self.root.services):
            if service.sessions is not None:
                self._looks(("services", index, "sessions"), service.sessions)

    def _looks(self, loc: Loc, sessions: Sessions) -> None:
        keys = ("applications", "users", "addresses")
        lists = [at(self.tree, (*loc, key)) for key in keys]
        thinned = any(isinstance(node, Sequence) and node.thinned for node in lists)
        if not thinned and not (sessions.applications or sessions.users or sessions.addresses):
            text = "would mean every session; at least one of applications, users and addresses is needed"
            self.note(loc, text, *((*loc, key) for key in keys))

    def _connections(self) -> None:
        for index, service in enumerate(self.root.services):
            told = service.connections
            if told is None:
                continue
            loc: Loc = ("services", index, "connections")
            if told.processes is not None:
                wrong = dict.fromkeys(("normal", "peak"), "is given besides processes; keep one of them")
            else:
                wrong = dict.fromkeys(("threads", "pool"), "is of one process; processes is needed")
                if told.normal is None:
                    wrong["peak"] = "is the most; normal is needed, too"
                elif told.peak is not None and told.peak < told.normal:
                    wrong["peak"] = f"must not be below normal, {told.normal}"
            for key, text in wrong.items():
                if getattr(told, key) is not None:
                    self.note((*loc, key), text, (*loc, "processes"), (*loc, "normal"))

    def _probes(self) -> None:
        """Refused connections are seen by the probe only: without one they are no condition."""
        policies = {policy.name: policy for policy in self.root.policies}
        for index, database in enumerate(self.root.databases):
            policy = policies.get(database.policy)
            if policy is None or database.connect.probe_every:
                continue
            for name in ("monitor", "alert", "critical"):
                level = getattr(policy.levels, name)
                if needs_probe(level):
                    text = f"0s leaves {name} of policy {policy.name} without a condition that can ever hold"
                    loc = ("databases", index, "connect", "probe_every")
                    self.note(loc, text, ("databases", index, "policy"))

    def _exactly_one(self) -> None:
        for index, service in enumerate(self.root.services):
            self._one_of(("services", index), service, ("compose", "command"))
        for index, target in enumerate(self.root.notify):
            self._one_of(("notify", index), target, ("url", "url_file"))
        for index, policy in enumerate(self.root.policies):
            for number, step in enumerate(policy.remediate.steps or ()):
                loc = ("policies", index, "remediate", "steps", number)
                self._one_of(loc, step, ("terminate_idle", "restart"))

    def _one_of(self, loc: Loc, section: object, keys: tuple[str, str]) -> None:
        given = [key for key in keys if getattr(section, key) is not None]
        if len(given) != 1:
            if not given and self._misspelt(loc, keys):
                return
            text = f"has {'both' if given else 'neither'} of {keys[0]} and {keys[1]}; exactly one is allowed"
            self.note(loc, text, *((*loc, key) for key in keys))

    def _misspelt(self, loc: Loc, keys: tuple[str, str]) -> bool:
        """Tell whether an unknown key, which is noted already, was meant to be one of these."""
        section = at(self.tree, loc)
        unknown = sorted(section.lost)[:_NAMES] if isinstance(section, Mapping) else []
        return any(did_you_mean(key, keys) for key in unknown)

    def _references(self) -> None:
        policies = self._names("policies")
        if not policies and "policies" not in self.tree.entries:
            policies = ["default"]
        for index, database in enumerate(self.root.databases):
            loc: Loc = ("databases", index, "policy")
            if at(self.tree, loc) or database.policy in policies:
                self._defined(loc, database.policy, policies, "policies")
            elif not lost(self.tree, ("policies",)):
                write = f"; write policy: {policies[0]}" if len(policies) == 1 else ""
                text = f'"{database.policy}" (not written) is not among policies; {_known(policies)}{write}'
                self.note_default(loc, text, loc)
        databases = self._names("databases") or [database.name for database in self.root.databases]
        for index, target in enumerate(self.root.notify):
            for number, name in enumerate(target.databases):
                self._defined(("notify", index, "databases", number), name, databases, "databases")
        services = self._names("services")
        for index, policy in enumerate(self.root.policies):
            for number, step in enumerate(policy.remediate.steps or ()):
                if step.restart:
                    loc = ("policies", index, "remediate", "steps", number, "restart")
                    self._restart(loc, step.restart, services)

    def _restart(self, loc: Loc, restart: Restart, services: list[str]) -> None:
        if restart.service != CULPRIT:
            self._defined((*loc, "service"), restart.service, services, "services", CULPRIT)
            for key in ("among", "share", "older_than", "least", "otherwise"):
                if at(self.tree, (*loc, key)) is not None:
                    self.note((*loc, key), f"only goes with service: {CULPRIT}")
            return
        if not restart.among and at(self.tree, (*loc, "among")) is not None:
            self.note((*loc, "among"), "names nobody; leave it out if any of services may be it")
        for position, name in enumerate(restart.among):
            self._defined((*loc, "among", position), name, services, "services")
        if not (restart.among or services):
            self.note((*loc, "service"), "there is no service that could be it", ("services",))

    def _names(self, section: str) -> list[str]:
        """All names as they were written, those of items with mistakes in them too."""
        items = at(self.tree, (section,))
        nodes = [at(item, ("name",)) for item in items.items] if isinstance(items, Sequence) else []
        return sorted({node.text for node in nodes if isinstance(node, Scalar)})

    def _defined(self, loc: Loc, name: str, known: list[str], section: str, *words: str) -> None:
        if name not in known:
            hint = did_you_mean(name, [*known, *words])
            self.note(loc, f"no entry of {section} has this name; {_known(known)}{hint}", (section,))


def _known(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return f"defined: {shown}" if names else "none is defined"


def _dotted(loc: Loc) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
