"""The options in the text of a sink: taken one by one, each checked; one that nobody took is an error.

options = Options.of(["sync=never", "frames"], sink="file,sync=never,frames:/tmp/x")
options.flag("frames")
options.choice("sync", ("each", "never"))
options.require_none_left()
"""

from __future__ import annotations

from collections.abc import Sequence

from edgemed.errors import ConfigError
from edgemed.schema import near_match

__all__ = ["Options"]


class Options:
    """What stands between a sink's kind and its colon; for one reading."""

    def __init__(self, given: dict[str, str | None], *, sink: str) -> None:
        self.sink = sink
        self._given = given
        self._known: list[str] = []

    @classmethod
    def of(cls, words: Sequence[str], *, sink: str) -> Options:
        """Return the options of words like ``name`` and ``name=value``.

        Raises:
            ConfigError: one is given twice.
        """
        given: dict[str, str | None] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if name in given:
                raise ConfigError(f"sink {sink!r}: {name}: given more than once; give it once")
            given[name] = value if equals else None
        return cls(given, sink=sink)

    def flag(self, name: str) -> bool:
        """Return whether an option without a value was given."""
        self._known.append(name)
        if name not in self._given:
            return False
        if (value := self._given.pop(name)) is not None:
            raise self.wrong(name, "no value", value)
        return True

    def text(self, name: str) -> str | None:
        """Return the value of an option; None where it was not given."""
        self._known.append(name)
        if name not in self._given:
            return None
        value = self._given.pop(name)
        if not value:
            raise self.wrong(name, "a value", value or "")
        return value

    def choice(self, name: str, values: Sequence[str]) -> str:
        """Return one of the values, the first where the option was not given."""
        value = self.text(name)
        if value is not None and value not in values:
            raise self.wrong(name, " or ".join(values), value)
        return value or values[0]

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        """Return a number in [low, high]."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise self.wrong(name, f"a number from {low:g} to {high:g}", value)
        return number

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number in [low, high]."""
        number = self.number(name, default, low=low, high=high)
        if number != int(number):
            raise self.wrong(name, "a whole number", f"{number:g}")
        return int(number)

    def require_none_left(self) -> None:
        """Refuse what no kind has asked for.

        Raises:
            ConfigError: an option is unknown to this kind of sink.
        """
        for name in self._given:
            known = ", ".join(sorted(self._known))
            raise ConfigError(
                f"sink {self.sink!r}: {name}: unknown option, expected one of {known}{near_match(name, self._known)}"
            )

    def wrong(self, name: str, expected: str, got: str) -> ConfigError:
        """Return the error for a value that cannot be."""
        return ConfigError(f"sink {self.sink!r}: {name}: expected {expected}, got {got!r}")
