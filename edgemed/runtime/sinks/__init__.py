"""Where alerts go: stdout, a file, a program, a webhook, a light; none of them ever delays a frame.

A sink is named by one line of text:

    stdout
    file:/var/log/edgemed/alerts.jsonl             JSON Lines, appended; options sync, max_mib, keep
    command:["/usr/local/bin/notify", "--alert"]   a program, no shell; the document on its stdin; option timeout
    https://alerts.example.org/hook                POST, with a queue on disk; options queue, queued, timeout, ca, clear
    gpio:gpiochip0:17                              a line that is on while there is an alert; option active

Options stand behind the kind, with commas: ``file,sync=never,frames:/tmp/all.jsonl``. Every sink takes ``frames``: it
then gets every decided frame too, not the changes of state alone.

Rules: `Sinks.send` puts a line into a bounded queue and returns; a worker thread for each sink does the rest; what does
not fit pushes the oldest out; what was delivered, dropped and failed is counted, and a sink that begins to fail, or
works again, is told once.

    with sinks.open_all([sinks.parse("file:alerts.jsonl")], tell=print) as opened:
        opened.send({"event": "raised", "state": "alert", "frame": 12})
    print(opened.statistics())
"""

from edgemed.runtime.sinks.delivery import Statistics
from edgemed.runtime.sinks.opened import Sinks, open_all
from edgemed.runtime.sinks.spec import SinkSpec, parse

__all__ = ["SinkSpec", "Sinks", "Statistics", "open_all", "parse"]
