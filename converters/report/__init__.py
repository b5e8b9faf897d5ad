"""What a conversion did, as a document, a table and a page: is it really int8, and what did it cost?

    found = findings.of(model, translated, judged, ...)
    text = page.render_html(found, paired=judged.paired)

`document` is the shape of ``conversion.json``; `coverage` reads the converted file, `fidelity` (with `pairing`,
`cutting` and `activations`) measures it layer by layer, `latency` times it here, `page` and `plots` show all of it.
"""

from __future__ import annotations

from converters.report.document import MEMBER, CalibrationSet, Report, Training, table_rows

__all__ = ["MEMBER", "CalibrationSet", "Report", "Training", "table_rows"]
