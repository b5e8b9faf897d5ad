"""What a reader meets on a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Seen(HTMLParser):
    """Tags, attributes and the words outside pictures; whether every tag is closed in order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.words += data

    def values(self, name: str) -> list[str | None]:
        """Return the values of an attribute, whatever tag has it."""
        return [value for _, key, value in self.attributes if key == name]


def require_whole(text: str) -> None:
    """Assert that every tag is closed, and that a reader's browser runs and fetches nothing."""
    seen = Seen(text)
    assert seen.open == []
    assert not [tag for tag, _, _ in seen.attributes if tag in ("link", "iframe", "object", "script")]
    for name in ("src", "href", "xlink:href", "data", "action"):
        assert [value for value in seen.values(name) if not _is_within(value)] == []
    assert not re.search(r"url\((?!#)|@import|<script", text)


def _is_within(value: str | None) -> bool:
    return not value or value.startswith(("#", "data:image/jpeg;base64,"))
