"""How words of the command line are taken: what typer alone would let pass is a usage error.

app.command(cls=arguments.Once)(screen)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

__all__ = [
    "BACKEND",
    "BUNDLE",
    "MOST_THREADS",
    "OVERLAY",
    "OWN_STORE",
    "RECORD",
    "STORE",
    "TARGET",
    "THREADS",
    "TRUSTED",
    "Once",
    "path",
]

MOST_THREADS = 64
"""Most that an inference may be given: more than any device has cores; back ends end the process at absurd numbers."""


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


# Options of the commands that judge: one wording for all of them.
BUNDLE = typer.Option(None, metavar="PATH|NAME", help="Bundle file, or the name of one that ships with edgemed.")
TRUSTED = typer.Option(
    [],
    "--trust",
    metavar="KEY|ROOT",
    help="Public key that must have signed, may be repeated; or one trust root. Default: your own keys.",
)
STORE = typer.Option(
    None,
    parser=path,
    metavar="DIR",
    help="Device store whose active bundle judges. Default without --bundle: the store of this device.",
)
OVERLAY = typer.Option(
    None, parser=path, metavar="FILE", help="Decision overlay that replaces the bundle's thresholds."
)
TARGET = typer.Option(
    None, metavar="ID", help="What this machine is; see 'edgemed devices list'. Default: its generic target."
)
BACKEND = typer.Option(None, help="litert, tflite-runtime or onnxruntime. Default: the first that runs the model.")
THREADS = typer.Option(None, min=1, max=MOST_THREADS, help="Threads for the inference. Default: the target's.")
RECORD = typer.Option(
    None,
    "--record/--no-record",
    show_default=False,
    help="Write results and alerts down in the store, without patient data. Default: with a store that has a records "
    "folder. With --record an incomplete record ends in exit code 6 instead of 0.",
)

# And of those that look after the store of this device.
OWN_STORE = typer.Option(
    None,
    "--store",
    parser=path,
    metavar="DIR",
    help="The device store. Default: /var/lib/edgemed if it is there, else one in your own data folder.",
)
