"""The short report at the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.core.model import Mode
from remediator.core.text import count, duration, percent
from remediator.demo import honest
from remediator.demo.scenario import API, CELERY, LEAKING, USABLE
from remediator.demo.scene import Finale, Scene, failures
from remediator.demo.story import shares, spared_words


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Attributes:
        passed: Relief was reached, or a dry run changed nothing.
        verdict: The same in one line.
        rows: Heading and text.
        hint: A command to go on with, empty when there is none.
    """

    passed: bool
    verdict: str
    rows: Sequence[tuple[str, str]]
    hint: str

    def lines(self) -> Iterator[str]:
        """The report as plain text."""
        yield self.verdict
        for heading, text in self.rows:
            yield f"  {heading:<11} {text}"
        if self.hint:
            yield self.hint


def make_report(scene: Scene, finale: Finale, kept: Path | None) -> Report:
    """Judge what was seen and put it into words.

    Args:
        scene: What was seen on the way.
        finale: What was found at the end.
        kept: Where config, log and ledger are kept, None when they are removed.
    """
    against = failures(scene, finale)
    if against:
        verdict = f"FAILED: {'; '.join(against)}"
    elif scene.mode is Mode.DRY_RUN:
        verdict = "DRY RUN: a plan was made, and nothing was changed"
    else:
        verdict = "RELIEVED: the slots are free again"
    hint = f"remediator history --config {kept / 'config.yaml'}" if kept else ""
    return Report(not against, verdict, tuple(_rows(scene, finale, kept)), hint)


def _rows(scene: Scene, finale: Finale, kept: Path | None) -> Iterator[tuple[str, str]]:
    story = scene.story
    dry = scene.mode is Mode.DRY_RUN
    yield "slots", _slots(scene, finale)
    would = "would be " if dry else ""
    killed = count(story.terminated.total(), "idle session")
    yield "terminated", would + killed + (f" ({shares(story.terminated)})" if story.terminated else "")
    if story.spared:
        yield "spared", f"{'; '.join(spared_words(story.spared))} (a session may have several reasons)"
    yield "restarted", _restarts(scene, finale)
    if story.relief_took is not None:
        took = duration(story.relief_took)
        yield "time", f"{took} from confirmed critical to {'what would be relief' if dry else 'relief'}"
    if dry:
        still = len(scene.leaked & finale.look.of(LEAKING))
        yield "untouched", f"{still} of {len(scene.leaked)} sessions of {API} and {CELERY} are still there"
    yield "survivors", _survivors(finale)
    if kept is None:
        yield "records", "config, log and ledger are removed; --keep keeps them"
    else:
        yield "records", f"{kept}: config.yaml, remediator.jsonl, state/"


def _slots(scene: Scene, finale: Finale) -> str:
    used = min(USABLE, finale.look.used)
    accepted = "accepted" if finale.accepts else "refused"
    return (
        f"{scene.peak} of {USABLE} used at the worst, {used} now ({percent(used / USABLE)});"
        f" a new connection is {accepted}"
    )


def _restarts(scene: Scene, finale: Finale) -> str:
    parts = []
    for name in (CELERY, API):
        if name in finale.restarted:
            outcomes = ", ".join(outcome for service, outcome in scene.story.restarts if service == name)
            pids = f"process {finale.pids_before[name]} is now {finale.pids_after[name]}"
            parts.append(f"{name} ({pids}; {outcomes or 'outcome not known'})")
    spared = [name for name in (CELERY, API) if name not in finale.restarted]
    done = ", ".join(parts) or "nothing"
    return f"{done}; {' and '.join(spared)} left alone" if spared else done


def _survivors(finale: Finale) -> str:
    alive = finale.honest_alive()
    known = {each.application: each.spared_for.meaning for each in honest.ALL}
    return ", ".join(f"{name} ({known[name]})" for name in alive) or "none"
