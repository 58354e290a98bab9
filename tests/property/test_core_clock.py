"""Whatever is done to the machine's clocks, no window of true time ever holds more than a budget allows."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from remediator.core.budgets import usages
from remediator.core.clock import ClockMark, outdated, stamped
from remediator.core.ledger import Entry, Ledger, Result
from remediator.core.model import Moment
from remediator.core.policy import Rate
from remediator.testing import FakeClock
from tests.builders import DATABASE, make_entry

RATES = (Rate(2, timedelta(minutes=10)), Rate(5, timedelta(hours=3)), Rate(9, timedelta(days=2)))
lengths = st.sampled_from([1, 59, 600, 3599, 10_801, 86_400]) | st.integers(1, 200_000)
jumps = lengths | lengths.map(lambda seconds: -seconds) | st.sampled_from([-(10**9), 10**9])


class Clocks(RuleBasedStateMachine):
    """Does something whenever the budgets let it, on a machine whose clocks nobody can trust."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.true = 0.0
        self.done: list[float] = []
        self.entries: list[Entry] = []
        self.mark: ClockMark | None = None

    def look(self) -> Moment:
        """What every cycle begins with; without a mark in memory, as a new process has none."""
        moment = self.clock.now()
        if outdated(self.mark, moment):
            self.mark = ClockMark.of(stamped(moment, self.mark))
        return stamped(moment, self.mark)

    @rule(times=st.integers(1, 4))
    def act(self, times: int) -> None:
        """As often as it is allowed, so many times at most."""
        for _ in range(times):
            moment = self.look()
            spent = Ledger(tuple(self.entries)).terminations(DATABASE)
            if all(used.left for used in usages(RATES, spent, moment.steady)):
                self.mark = ClockMark.of(moment)
                number = len(self.entries)
                entry = make_entry(id=number, at=moment.at, steady=moment.stamp, result=Result.CONFIRMED)
                self.entries.append(entry)
                self.done.append(self.true)

    @rule(seconds=lengths)
    def time_passes(self, seconds: int) -> None:
        """Awake, with a look or without."""
        self.clock.advance(seconds)
        self.true += seconds

    @rule(seconds=lengths)
    def the_machine_sleeps(self, seconds: int) -> None:
        """The monotonic clock stands still."""
        self.clock.sleep(timedelta(seconds=seconds))
        self.true += seconds

    @rule(seconds=jumps, seen=st.booleans())
    def the_clock_is_set(self, seconds: int, *, seen: bool) -> None:
        """While we run, or while we are down."""
        self.clock.jump(timedelta(seconds=seconds))
        if seen:
            self.look()

    @rule(off=lengths, lost=st.sampled_from([0, 0, 1, 3600, 10**9]))
    def the_machine_starts_anew(self, off: int, lost: int) -> None:
        """Until we look, its clock has lost time at most: what it gained cannot be told from the truth."""
        self.look()
        self.clock.reboot(timedelta(seconds=off - lost))
        self.true += off
        self.look()

    @invariant()
    def no_window_holds_more_than_its_limit(self) -> None:
        """In time that really passed."""
        for rate in RATES:
            per = rate.per.total_seconds()
            for end in self.done:
                assert sum(1 for at in self.done if end - per < at <= end) <= rate.count

    @invariant()
    def nothing_counts_as_made_in_the_future(self) -> None:
        """Or it would block for longer than its window."""
        now = stamped(self.clock.now(), self.mark).steady
        assert all(entry.intent.counted_at <= now for entry in self.entries)


TestClocks = Clocks.TestCase
TestClocks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
