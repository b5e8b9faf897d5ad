"""How words of the command line are taken: what typer alone would let pass is a usage error.

app.command(cls=arguments.Once)(screen)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

__all__ = ["RECORD", "THREADS", "Once", "path"]

THREADS = 64
"""Most that an inference may be given: more than any device has cores; back ends end the process at absurd numbers."""


RECORD = typer.Option(
    None,
    "--record/--no-record",
    show_default=False,
    help="Write results and alerts down in the store, without patient data. Default: with a store that has a records "
    "folder. With --record an incomplete record ends in exit code 6 instead of 0.",
)


class Once(TyperCommand):
    """A command that refuses an option given twice, unless it takes several values: no value is dropped unseen."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, as typer does.

        Raises:
            BadParameter: an option of one value was given more than once.
        """
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in self.params:
            single = isinstance(option, TyperOption) and not (option.multiple or option.is_flag)
            if single and sum(1 for one in given if one is option) > 1:
                raise typer.BadParameter("given more than once; give it once", ctx=ctx, param=option)
        return super().parse_args(ctx, args)


def path(text: str) -> Path:
    """Return a path; the empty one, often an unset variable of a script, would mean the current folder.

    Raises:
        BadParameter: the text is empty.
    """
    if not text:
        raise typer.BadParameter("expected a path, got an empty text; write . for the current folder")
    return Path(text)
