"""The page of an evaluation for a clinical reviewer: ``edgemed evaluate --report out.html``."""

from __future__ import annotations

from edgemed.training.report.page import render_html

__all__ = ["render_html"]
