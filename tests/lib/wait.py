"""Waiting for an event with a deadline: the only place in the tests where time passes without work."""

import threading
import time

_pause = threading.Event()


def pause(seconds):
    """Lets a moment pass; for the polling loops of this package, not for tests."""
    _pause.wait(seconds)


def wait_until(predicate, deadline=10.0, what="the condition", interval=0.005):
    """Calls predicate until it returns something true and returns that; AssertionError after deadline seconds.

    An exception out of predicate is not caught: a predicate that may fail while a server starts catches what it
    expects and returns False.
    """
    end = time.monotonic() + deadline
    last = None
    while True:
        last = predicate()
        if last:
            return last
        left = end - time.monotonic()
        if left <= 0:
            raise AssertionError("after %g s still waiting for %s (last seen: %r)" % (deadline, what, last))
        pause(min(interval, left))
        interval = min(interval * 1.5, 0.05)


def holds_for(predicate, seconds, what="the condition"):
    """Asserts that predicate stays true for a time: for 'this must not happen'."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = predicate()
        assert seen, "%s ceased to hold (seen: %r)" % (what, seen)
        pause(0.01)
