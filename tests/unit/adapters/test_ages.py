"""Ages by a server's clock that somebody sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from remediator.adapters.postgres.ages import Ages
from remediator.core.model import Session, SessionId

HOUR = 3600.0
START = 1_800_000_000.0


def idle_since(shown: float, now: float) -> Session:
    """A session as the server tells of it: its state changed and the time is, both by the server's clock."""
    changed = datetime.fromtimestamp(shown, UTC)
    return Session(
        id=SessionId(1, changed),
        user="app",
        database="shop",
        application="leaky",
        address=None,
        backend_type="client backend",
        state="idle",
        state_change=changed,
        idle_for=now - shown,
        in_transaction=False,
        superuser=False,
        own=False,
        advisory_lock=False,
        listening=False,
        hidden=False,
    )


def test_a_clock_that_nobody_sets_changes_nothing() -> None:
    """Nor do slow answers, drift, or a sleep that both clocks have seen."""
    ages = Ages()
    for at in (0.0, 1.0, 30.2, 30.9, HOUR):
        assert ages.note(START + at + at * 1e-4, at - 0.1, at + 3.0) == 0.0
    session = idle_since(START, START + HOUR)
    assert ages.corrected(session) == session
    assert ages.cutoff(session, timedelta(minutes=5)) == timedelta(minutes=5)


def test_what_was_idle_when_the_clock_was_set_ahead_is_younger_than_it_seems() -> None:
    """What went idle after that is as old as it seems."""
    ages = Ages()
    ages.note(START, 0.0, 0.0)
    assert ages.note(START + 1 + HOUR, 1.0, 1.0) == HOUR
    before, after = (idle_since(at, START + HOUR + 60) for at in (START, START + HOUR + 10))
    assert ages.corrected(before).idle_for == 60
    assert ages.cutoff(before, timedelta(minutes=5)) == timedelta(minutes=65)
    assert ages.corrected(after).idle_for == 50
    assert ages.cutoff(after, timedelta(minutes=5)) == timedelta(minutes=5)


def test_a_clock_that_is_put_right_again_gives_back_the_true_ages() -> None:
    """And one that is set back for no reason makes nobody older."""
    ages = Ages()
    ages.note(START, 0.0, 0.0)
    ages.note(START + HOUR, 0.0, 0.0)
    assert ages.note(START + 60, 60.0, 60.0) == -HOUR
    assert ages.corrected(idle_since(START, START + 60)).idle_for == 60
    ages.note(START - HOUR, 60.0, 60.0)
    assert ages.ahead == 0.0


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 600.0),  # seconds that pass
            st.floats(-2 * HOUR, 2 * HOUR) | st.just(0.0),  # the clock is set by so much, before it is read
            st.floats(0.0, 0.4),  # until the question is there
            st.floats(0.0, 0.4),  # until the answer is here
        ),
        max_size=8,
    )
)
def test_no_session_is_ever_taken_for_older_than_it_is(
    steps: list[tuple[float, float, float, float]],
) -> None:
    """Apart from what is too little to be told from a slow answer, once for each reading."""
    ages, true, offset = Ages(), 0.0, 0.0
    ages.note(START, 0.0, 0.0)
    session_since = START  # it went idle right then, and does nothing more
    for passed, change, there, back in steps:
        true += passed
        offset += change
        asked, read, answered = true, true + there, true + there + back
        true = answered
        ages.note(START + read + offset, asked, answered)
        shown = ages.corrected(idle_since(session_since, START + read + offset))
        assert shown.idle_for <= read + 2.0 * len(steps)
