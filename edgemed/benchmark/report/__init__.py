"""A measurement for people: rows of tables, pictures, and a page; none of it needs more than a device has.

text = report.page(result, compared)
"""

from __future__ import annotations

from edgemed.benchmark.report.page import page
from edgemed.benchmark.report.pictures import png, svg
from edgemed.benchmark.report.rows import about, budget_rows, cautions, comparison_rows, fingerprint, stage_rows

__all__ = ["about", "budget_rows", "cautions", "comparison_rows", "fingerprint", "page", "png", "stage_rows", "svg"]
