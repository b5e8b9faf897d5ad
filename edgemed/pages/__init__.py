"""What the pages of a conversion and of an evaluation have in common: one file each, without network or scripts.

with drawing.axes(5.6, 4.2) as (figure, axes):
    axes.plot(x, y, color=drawing.BLUE)
    picture = drawing.svg(figure)
text = rendering.render("edgemed.training.report", "page.html.j2", pictures=(picture,))
"""

from __future__ import annotations

from edgemed.pages.rendering import Picture, render

__all__ = ["Picture", "render"]
