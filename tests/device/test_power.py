"""The power is cut after every step of everything that changes a store, and once more while it is repaired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgemed.device import contents, install, switch
from edgemed.device.store import Store
from edgemed.errors import EdgemedError, InstallError
from tests.device import made
from tests.device.power import Disk, Tree

Work = Callable[[Store], object]


@dataclass(frozen=True)
class Case:
    """Work on a store with releases ``before`` installed in turn, and the states that it may be left in.

    A state is (active release, starts left or None): ``allowed`` after any cut, ``end`` after the work was done again.
    """

    before: tuple[int, ...]
    work: Callable[[Path], Work]
    allowed: set[tuple[int | None, int | None]]
    end: tuple[int | None, int | None]
    tentative: int | None = None


def installing(release: int, **options: int) -> Callable[[Path], Work]:
    def on(folder: Path) -> Work:
        path = made.write(folder, release)

        def work(store: Store) -> object:
            found = contents.read(store)
            if (
                found.tentative is not None
                and found.active is not None
                and made.release(found.active.bundle) == release
            ):
                return None  # done, and only cut before it said so
            return install.install(store, path, check=made.healthy, **options)

        return work

    return on


def failing(release: int) -> Callable[[Path], Work]:
    def on(folder: Path) -> Work:
        path = made.write(folder, release)

        def work(store: Store) -> None:
            with pytest.raises(InstallError):
                install.install(store, path, check=made.failing)

        return work

    return on


def rolling_back(from_release: int) -> Callable[[Path], Work]:
    def work(store: Store) -> None:
        active = contents.read(store).active
        assert active is not None
        if made.release(active.bundle) == from_release:  # else it is done, and was only cut before it said so
            switch.rollback(store)

    return lambda _: work


CASES = {
    "first install": Case((), installing(1), {(None, None), (1, None)}, (1, None)),
    "second install": Case((1,), installing(2), {(1, None), (2, None)}, (2, None)),
    "third install, over the first": Case((1, 2), installing(3), {(2, None), (3, None)}, (3, None)),
    "tentative install": Case((1, 2), installing(3, tentative=5), {(2, None), (3, 5)}, (3, 5)),
    "failed install": Case((1, 2), failing(3), {(2, None)}, (2, None)),
    "commit": Case((1, 2), lambda _: switch.commit, {(2, 3), (2, None)}, (2, None), tentative=3),
    "rollback": Case((1, 2), rolling_back(2), {(2, None), (1, None)}, (1, None)),
    "rollback of a trial": Case((1, 2), rolling_back(2), {(2, 3), (1, None)}, (1, None), tentative=3),
    "expiry of a trial": Case((1, 2), lambda _: switch.start, {(2, 0), (1, None)}, (1, None), tentative=0),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def prepared(place: Path, case: Case) -> Disk:
    """Return a disk on which the releases before are installed, the last perhaps on trial."""
    disk = made.new_disk(place)
    store = made.store(place, disk)
    for release in case.before:
        last = release == case.before[-1]
        trial = {"tentative": max(case.tentative, 1)} if last and case.tentative is not None else {}
        installing(release, **trial)(place.parent)(store)
    if case.tentative == 0:
        switch.start(store)
    return Disk.of(disk.tree())


def seen(place: Path, tree: Tree) -> tuple[tuple[int | None, int | None], int]:
    """Return what a store that was cut shows, and its floor: active release and starts left; what opens is whole."""
    store = made.store(place, Disk.of(tree))
    found = contents.read(store)
    assert found.warnings == ()
    if found.active is None:
        return (None, None), found.floor("tiny")
    raw = tree[store.file(found.active.slot)]
    release = made.release(found.active.bundle)
    assert raw == made.raw(release)
    return (release, None if found.tentative is None else found.tentative.starts_left), found.floor("tiny")


def distinct(disk: Disk) -> dict[frozenset, tuple[str, Tree]]:
    """Return the states that cuts of this run may leave, each once, with the step of one cut that leaves it."""
    return {frozenset(tree.items()): (step, tree) for step, tree in disk.cuts()}


def fault(case: Case, place: Path, tree: Tree, lowest: int) -> str | None:
    """Return what is wrong with a state that a cut has left, or None."""
    try:
        state, floor = seen(place, tree)
    except (AssertionError, EdgemedError) as err:
        return str(err)
    if state not in case.allowed:
        return f"{state}: expected one of {case.allowed}"
    return None if floor >= lowest else f"floor {floor}: expected at least {lowest}"


def count(name: str, place: Path) -> dict[str, int]:
    """Run a case and return its steps, the states that cuts leave, those of second cuts, and how many are wrong."""
    case = CASES[name]
    first = prepared(place, case)
    _, lowest = seen(place, first.tree())
    work = case.work(place.parent)
    work(made.store(place, first))
    once, again, cuts_again = distinct(first), {}, 0
    for _, tree in once.values():
        second = Disk.of(tree)
        work(made.store(place, second))
        assert seen(place, second.tree())[0] == case.end
        cuts_again += sum(1 for _ in second.cuts())
        again.update(distinct(second))
    wrong = [found for _, tree in (once | again).values() if (found := fault(case, place, tree, lowest))]
    assert {seen(place, tree)[0] for _, tree in once.values()} == case.allowed  # both sides of the switch were met
    return {
        "steps": len(first.history) - 1,
        "cuts": sum(1 for _ in first.cuts()),
        "cuts_again": cuts_again,
        "failures": len(wrong),
    }


@pytest.mark.parametrize("name", CASES)
def test_cut_anywhere_and_again_while_it_is_made_good_leaves_the_old_bundle_or_the_new_one(
    name: str, place: Path
) -> None:
    found = count(name, place)

    assert found["failures"] == 0
    assert found["steps"] >= 4
    assert found["cuts_again"] > found["cuts"] > found["steps"]


def test_the_proof_itself_sees_a_pointer_that_is_written_in_place(place: Path) -> None:
    """A store that overwrote its pointer instead of renaming a synced one would not pass."""
    disk = prepared(place, CASES["second install"])
    work = installing(2)(place.parent)
    work(made.store(place, disk))
    pointer = place / "current"
    in_place = Disk.of(disk.tree())
    in_place.write(pointer, b"a\n", mode=0o644)
    in_place.sync(pointer)

    faults = [fault(CASES["second install"], place, tree, 0) for _, tree in distinct(in_place).values()]

    assert any(faults)
