from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from edgemed.pages import markdown


class Read(HTMLParser):
    """Tags in order, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_card_becomes_headings_lists_tables_and_paragraphs() -> None:
    text = "# Name\n\nOne line\ngoes on.\n\n- a `code`\n- b\n\n## Part\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"
    assert markdown.to_html(text, top=3) == (
        "<h3>Name</h3>\n<p>One line goes on.</p>\n<ul><li>a <code>code</code></li><li>b</li></ul>\n<h4>Part</h4>\n"
        '<div class="wide"><table><thead><tr><th scope="col">x</th><th scope="col">y</th></tr></thead>'
        "<tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>"
    )


@given(st.text(alphabet="#-| `<>&\"'ab\n", max_size=60))
def test_any_text_gives_closed_tags_of_the_known_kinds(text: str) -> None:
    read = Read(markdown.to_html(text))
    assert read.open == []
    assert set(read.seen) <= {
        *(f"h{level}" for level in range(1, 7)),
        *("p", "ul", "li", "code", "div", "table", "thead", "tbody", "tr", "th", "td"),
    }


def test_text_cannot_break_out_of_the_page() -> None:
    assert "<script" not in markdown.to_html("<script>alert(1)</script>\n- `<script>`\n| <script> |\n")
