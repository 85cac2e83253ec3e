"""TAP out of a program in Python, and the words that the programs share; the other languages have the same ones.

    @tap.case("a title")
    def _():                    # runs at once; `async def` runs in a loop of its own
        tap.same(2, 1 + 1)
    tap.done()
"""

import asyncio
import inspect
import os
import sys
import threading
import time
import traceback

POOLED = "DRIVERS_POOLED" in os.environ  # Seawall is in between
HORSE = "žluťoučký 'kůň' \"\\ 🐎"  # a text that finds out who quotes and who counts bytes
_cases, _failed = 0, 0


def case(title):
    def run(function):
        global _cases, _failed
        _cases += 1
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function())
            else:
                function()
            print("ok %d - %s" % (_cases, title), flush=True)
        except Exception:
            _failed += 1
            print("not ok %d - %s" % (_cases, title))
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)
    return run


def done():
    print("1..%d" % _cases, flush=True)
    sys.exit(1 if _failed else 0)


def same(expected, got):
    assert expected == got, "expected %r, got %r" % (expected, got)


def sqlstate(error):
    """Of an error in any of the drivers; SQLAlchemy and Django wrap the driver's."""
    for each in (error, getattr(error, "orig", None), error.__cause__):
        found = getattr(each, "sqlstate", None) or getattr(each, "pgcode", None)
        if found:
            return found
    return None


def fails(state, call, *args):
    """call must fail with this SQLSTATE."""
    try:
        call(*args)
    except Exception as error:
        assert sqlstate(error) == state, "expected SQLSTATE %s, got %s: %r" % (state, sqlstate(error), error)
        return
    raise AssertionError("expected SQLSTATE %s, and it passed" % state)


async def fails_async(state, awaitable):
    try:
        await awaitable
    except Exception as error:
        assert sqlstate(error) == state, "expected SQLSTATE %s, got %s: %r" % (state, sqlstate(error), error)
        return
    raise AssertionError("expected SQLSTATE %s, and it passed" % state)


def until(predicate, what, deadline=20):
    """Asks until it is true; the question itself takes its time."""
    end = time.monotonic() + deadline
    while not predicate():
        assert time.monotonic() < end, "still waiting for " + what


def cancelled(call, cancel):
    """call must end as cancelled. A cancel before the statement does nothing, so it is sent until that ends."""
    ended = threading.Event()

    def go_on():
        while not ended.wait(0.05):
            cancel()
    canceller = threading.Thread(target=go_on)
    canceller.start()
    try:
        fails("57014", call)
    finally:
        ended.set()
        canceller.join()


def restart():
    """Every node restarts before this returns."""
    print("RESTART", flush=True)
    sys.stdin.readline()
