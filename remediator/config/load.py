"""From a file and the environment to settings, or to all mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from remediator.config import document, overlay, tree, typos
from remediator.config.build import build
from remediator.config.checks import Checker
from remediator.config.interpolate import interpolate
from remediator.config.passwords import Password, read_password
from remediator.config.problems import Problems, did_you_mean, key_name, printable, quoted
from remediator.config.schema import Root, keys_at
from remediator.config.secret import UnreadSecret
from remediator.config.settings import Settings
from remediator.config.source import Source, SourceError, read
from remediator.errors import ConfigError

LIMIT = 256 * 1024
"""Bytes that a configuration file may have."""

_PLACES = (Path("config.yaml"), Path("/etc/remediator/config.yaml"))
_EXAMPLES: dict[tuple[str, ...], str] = {
    ("policies", "check_every"): "{normal: 30s}",
    ("steps", "terminate_idle"): "{older_than: 10m}",
    ("steps", "restart"): "{service: celery_worker}",
    ("remediate", "until"): "{utilization: 50%}",
    ("spare", "users"): "[migrator]",
    ("spare", "applications"): "[migrator]",
    ("command", "restart"): "[systemctl, restart, reports.service]",
    **{
        (level, key): "{older_than: 1m, count: 20}"
        for level in ("monitor", "alert", "critical")
        for key in ("idle", "never_used", "idle_in_transaction")
    },
    ("notify", "events"): "[opened, held, relieved]",
}
_WRITTEN_HERE = (("password", "databases", "password"), ("URL", "notify", "url"))
_SECRETS = frozenset({"dsn", "password", "password_file", "host", "url", "url_file"})


def find(explicit: Path | None, env: Mapping[str, str]) -> Path:
    """Find the configuration file.

    Args:
        explicit: What the command line says.
        env: The environment, of which `REMEDIATOR_CONFIG` counts.

    Raises:
        ConfigError: There is none; the message lists where it was looked for.
    """
    if explicit is not None:
        return explicit
    if env.get("REMEDIATOR_CONFIG"):
        return Path(env["REMEDIATOR_CONFIG"])
    for path in _PLACES:
        if os.path.lexists(path):
            return path
    looked = ", ".join(f"./{path}" if not path.is_absolute() else str(path) for path in _PLACES)
    raise ConfigError((f"no configuration file: neither --config nor $REMEDIATOR_CONFIG, nor {looked}",))


def load(
    path: Path,
    env: Mapping[str, str],
    url_fault: Callable[[str], str] = lambda _: "",
    *,
    secrets: bool = True,
) -> Settings:
    """Read, validate and resolve the configuration.

    Args:
        path: The file.
        env: The environment, for `${VAR}`, `REMEDIATOR_*`, `PG*` and `DATABASE_URL`.
        url_fault: Says what is wrong with the URL of somebody who is to be notified, without any of it;
            empty when nothing is.
        secrets: Read the files that hold secrets. Without them nothing can be connected to, and nobody told.

    Raises:
        ConfigError: With one line for each mistake in the file, the environment and the secrets they name.
            No line shows a secret.
    """
    problems = Problems(printable(str(path)))
    source = _read(path, env, problems)
    root = document.parse(source.text, problems)
    _interpolate(root, env, problems)
    typos.excuse(root)
    overlay.apply(root, env, problems)
    inline = [what for what, section, key in _WRITTEN_HERE if _inline(root, section, key, problems.source)]
    model = _validate(root, problems)
    Checker(model, root, problems).run()
    files = _Files(root, path.parent.absolute(), env, problems, secrets)
    passwords = dict(_passwords(model, files))
    urls = dict(_urls(model, files, url_fault))
    if problems:
        raise problems.error()
    warnings = [read.warning for read in (*passwords.values(), *urls.values()) if read.warning]
    if source.exposed:
        warnings += (
            f"{problems.source}: holds a {what} and can be read by others than its owner" for what in inline
        )
    if source.open_to_all:
        what = "everyone may write to it, and so let remediator run any program; chmod o-w it"
        warnings.append(f"{problems.source}: {what}")
    used = {database.policy for database in model.databases}
    warnings += (
        f"{problems.source}: no database uses the policy {policy.name}"
        for policy in model.policies
        if policy.name not in used
    )
    return build(model, path, passwords, urls, tuple(warnings))


def _read(path: Path, env: Mapping[str, str], problems: Problems) -> Source:
    try:
        return read(path, LIMIT)
    except SourceError as error:
        variable = env.get("REMEDIATOR_CONFIG")
        origin = " (from $REMEDIATOR_CONFIG)" if variable and path == Path(variable) else ""
        problems.add(None, "", f"{error}{origin}")
        raise problems.error() from None


def _items(root: tree.Mapping, section: str) -> list[tree.Node]:
    node = root.entries.get(section)
    return node.items if isinstance(node, tree.Sequence) else []


def _interpolate(root: tree.Mapping, env: Mapping[str, str], problems: Problems) -> None:
    total = 0
    for scalar in tree.scalars(root):
        if "$" not in scalar.text:
            continue
        try:
            scalar.text = interpolate(scalar.text, env)
            scalar.foreign = True
            total += len(scalar.text)
        except ValueError as error:
            problems.add(scalar.place, scalar.where, str(error))
            scalar.dead = True
        if total > LIMIT:
            problems.add(scalar.place, scalar.where, f"variables add up to more than {LIMIT // 1024} KiB")
            raise problems.error()
    tree.sweep(root)


def _validate(root: tree.Mapping, problems: Problems) -> Root:
    """Validate; what is wrong is noted and removed, so that the rest can be looked at too."""
    while True:
        try:
            return Root.model_validate(tree.plain(root))
        except ValidationError as error:
            mistakes = error.errors(include_url=False, include_input=False)
        for mistake in mistakes:
            _note(mistake, root, problems)
        tree.sweep(root)


def _note(mistake: Any, root: tree.Mapping, problems: Problems) -> None:
    loc: tree.Loc = tuple(mistake["loc"])
    if mistake["type"] == "missing":
        parent, key = tree.near(root, loc[:-1]), str(loc[-1])
        parent.dead = True
        if not tree.lost(root, loc):
            problems.add(parent.place, f"{parent.where}.{key}", "is missing; a value is needed")
        return
    node = tree.near(root, loc)
    if mistake["type"] == "too_short" and isinstance(node, tree.Sequence) and node.items:
        return  # pydantic counts only entries without mistakes, and those with some are noted
    node.dead = True
    if isinstance(node, tree.Sequence) and node.thinned:
        return
    place = node.place
    if mistake["type"] == "extra_forbidden":
        parent = tree.near(root, loc[:-1])
        if isinstance(parent, tree.Mapping):
            place = parent.keys[str(loc[-1])]
        text = _unknown(str(loc[-1]), keys_at(loc[:-1]), problems)
    elif mistake["type"] == "too_short":
        text = "is empty; at least one entry is needed"
    elif "error" in mistake.get("ctx", {}):
        text = _subject(node, loc) + str(mistake["ctx"]["error"])
    else:
        text = "must be a list" if mistake["type"] == "tuple_type" else "must be keys and values"
        text += f"{_such_as(loc)}, not {_form(node)}"
    problems.add(place, node.where, text)


def _unknown(key: str, allowed: list[str], problems: Problems) -> str:
    text = f"unknown key; allowed: {', '.join(allowed)}"
    if key_name(key) == "?":
        return f"{text}; is a space missing after the colon?" if ":" in key else text
    return text if problems.crowded else text + did_you_mean(key, allowed)


def _subject(node: tree.Node, loc: tree.Loc) -> str:
    """The value that a message is about, when it may be shown."""
    secret = not isinstance(node, tree.Scalar) or node.foreign or _SECRETS & set(loc)
    shown = None if secret or not isinstance(node, tree.Scalar) else quoted(node.text)
    return f"{shown} " if shown else ""


def _such_as(loc: tree.Loc) -> str:
    """An example of what may stand there, where a newcomer would try a single value."""
    keys = tuple(part for part in loc if isinstance(part, str))
    example = _EXAMPLES.get(keys[-2:])
    return f", such as {example}" if example else ""


def _form(node: tree.Node) -> str:
    if isinstance(node, tree.Scalar):
        return "a single value"
    return "a list" if isinstance(node, tree.Sequence) else "keys and values"


def _inline(root: tree.Mapping, section: str, key: str, source: str) -> bool:
    """Whether a secret stands in the file itself."""
    return any(
        isinstance(node := tree.at(item, (key,)), tree.Scalar)
        and not node.foreign
        and node.place.source == source
        for item in _items(root, section)
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Reads the files that hold secrets, if they are wanted."""

    root: tree.Mapping
    directory: Path
    env: Mapping[str, str]
    problems: Problems
    wanted: bool

    def read(self, written: str, loc: tree.Loc) -> Password | None:
        if not self.wanted:
            return Password(UnreadSecret(), Path(written))
        node = tree.near(self.root, loc)
        foreign = not isinstance(node, tree.Scalar) or node.foreign
        try:
            return read_password(written, self.directory, self.env, foreign=foreign)
        except ValueError as error:
            self.problems.add(node.place, node.where, str(error))
            return None


def _passwords(model: Root, files: _Files) -> Iterator[tuple[str, Password]]:
    for index, database in enumerate(model.databases):
        if database.password_file:
            password = files.read(database.password_file, ("databases", index, "password_file"))
            if password is not None:
                yield database.name, password


def _urls(model: Root, files: _Files, fault_of: Callable[[str], str]) -> Iterator[tuple[str, Password]]:
    """The URLs that stand in files, by target; the others are looked at too."""
    for index, target in enumerate(model.notify):
        url, loc = target.url, ("notify", index, "url_file" if target.url_file else "url")
        read = files.read(target.url_file, loc) if target.url_file else None
        if read is not None:
            url = read.secret.reveal() if files.wanted else None
            yield target.name, read
        if url and (fault := fault_of(url)) and not tree.lost(files.root, loc):
            node = tree.near(files.root, loc)
            files.problems.add(node.place, node.where, fault)
