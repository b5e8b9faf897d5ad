"""A page from its template: every value escaped, every name that is missing an error, the common style filled in.

text = rendering.render("edgemed.training.report", "page.html.j2", evaluation=evaluation)
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = ["Picture", "render"]

_STYLE = "style.css"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot with its heading, what it shows in words, and the text that stands for it where it is not seen.

    Attributes:
        across: it takes the whole width of the page.
    """

    title: str
    svg: str
    caption: str
    alt: str
    across: bool = True


def render(package: str, template: str, **values: Any) -> str:
    """Return the page of a template that lies in a package; ``style`` in it is the common style sheet."""
    import jinja2

    # Every value is escaped: names of layers, models and attributes are the user's own.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(package).joinpath(template).read_text("utf-8")
    style = resources.files("edgemed.pages").joinpath(_STYLE).read_text("utf-8")
    return environment.from_string(source).render(style=style, **values)
