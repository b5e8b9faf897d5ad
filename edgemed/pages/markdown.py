"""The markdown that model cards are written in, as HTML: headings, paragraphs, lists, tables and code, nothing else.

Every character of the text is escaped; what is not known stays as it is written.

    html = markdown.to_html(card, top=3)
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

__all__ = ["to_html"]

_HEADING = re.compile(r"(#{1,6}) +(.*)")
_RULE = re.compile(r"\|[\s:|-]+\|?\s*")
_CODE = re.compile(r"`([^`]+)`")


def to_html(text: str, *, top: int = 2) -> str:
    """Return markdown as HTML.

    Args:
        text: of a card.
        top: level that its first level of headings gets, 1..6; lower ones follow, at most 6.
    """
    return "\n".join(_blocks(text.splitlines(), top))


def _blocks(lines: Sequence[str], top: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        kind = _kind(line)
        if heading := _HEADING.fullmatch(line):
            level = min(6, top - 1 + len(heading[1]))
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
            at += 1
            continue
        end = at + 1
        while end < len(lines) and _kind(lines[end]) == kind and not _HEADING.fullmatch(lines[end]):
            end += 1
        yield from _block(kind, lines[at:end])
        at = end


def _kind(line: str) -> str:
    if not line.strip():
        return "empty"
    return {"- ": "list", "| ": "table", "|-": "table"}.get(line[:2], "text")


def _block(kind: str, lines: Sequence[str]) -> Iterator[str]:
    if kind == "list":
        yield "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    elif kind == "table":
        yield _table([line for line in lines if not _RULE.fullmatch(line)])
    elif kind == "text":
        yield f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>"


def _table(lines: Sequence[str]) -> str:
    rows = [[_inline(cell.strip()) for cell in line.strip().strip("|").split("|")] for line in lines]
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
