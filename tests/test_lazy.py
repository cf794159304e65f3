"""Properties computed once, without a lock."""

from __future__ import annotations

import threading

from qdqnp.lazy import lazy


class Counted:
    """How often its property was computed."""

    def __init__(self) -> None:
        self.times = 0

    @lazy
    def value(self) -> int:
        """The documented value."""
        self.times += 1
        return 7


def test_it_is_computed_once_for_each_object() -> None:
    one, other = Counted(), Counted()
    assert (one.value, one.value, one.times, other.times) == (7, 7, 1, 0)
    assert Counted.value.__doc__ == "The documented value."


def test_a_thread_that_is_in_it_keeps_no_other_out() -> None:
    """functools' lock of Python 3.11 is the property's, so even another object's value has to wait."""
    entered, go_on = threading.Event(), threading.Event()

    class Slow:
        """A value that waits until it is told to go on."""

        def __init__(self, waits: bool) -> None:
            self.waits = waits

        @lazy
        def value(self) -> bool:
            if self.waits:
                entered.set()
                assert go_on.wait(30)
            return self.waits

    slow = Slow(True)
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    assert entered.wait(30)
    assert Slow(False).value is False
    go_on.set()
    thread.join()
    assert slow.value
