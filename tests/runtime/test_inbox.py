from __future__ import annotations

import threading

import pytest

from edgemed.runtime.inbox import Inbox, Overflow


def test_oldest_gives_way_to_the_newest() -> None:
    inbox: Inbox[int] = Inbox(capacity=2, overflow=Overflow.DROP_OLDEST)

    assert [inbox.put(item) for item in range(5)] == [0, 0, 1, 1, 1]
    assert [inbox.take(), inbox.take()] == [3, 4]


def test_nothing_is_dropped_where_a_place_is_waited_for() -> None:
    inbox: Inbox[int] = Inbox(capacity=1, overflow=Overflow.WAIT)
    dropped: list[int] = []

    def put() -> None:
        dropped.extend(inbox.put(item) for item in range(50))
        inbox.close()

    thread = threading.Thread(target=put)
    thread.start()
    taken = list(iter(inbox.take, None))
    thread.join()

    assert taken == list(range(50))
    assert sum(dropped) == 0


def test_what_waits_when_it_closes_is_still_given_out() -> None:
    inbox: Inbox[int] = Inbox(capacity=2, overflow=Overflow.WAIT)
    inbox.put(1)
    inbox.close()

    assert (inbox.take(), inbox.take(), inbox.put(2)) == (1, None, 1)


def test_closing_wakes_who_waits_for_a_place_and_forgets_what_waits() -> None:
    inbox: Inbox[int] = Inbox(capacity=1, overflow=Overflow.WAIT)
    inbox.put(1)
    dropped: list[int] = []
    thread = threading.Thread(target=lambda: dropped.append(inbox.put(2)))
    thread.start()
    inbox.close(forget=True)
    thread.join(5.0)

    assert (dropped, inbox.take()) == ([1], None)


def test_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^capacity: expected at least 1, got 0$"):
        Inbox(capacity=0, overflow=Overflow.WAIT)
