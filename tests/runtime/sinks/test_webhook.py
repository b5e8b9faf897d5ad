"""Webhooks: what a host accepts, refuses or leaves unanswered, and the queue that a restart does not lose."""

from __future__ import annotations

import errno
import http.server
import itertools
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.errors import ConfigError
from edgemed.runtime import sinks
from edgemed.runtime.sinks.post import Address, Answer, Poster, Verdict, judged
from edgemed.runtime.sinks.sender import Queued, pause_s
from edgemed.runtime.sinks.spool import Bounds, Spool
from edgemed.runtime.worker import Counts, DeliveryError
from tests.runtime.sinks.fakes import ACCEPTED, LATER, REFUSED, FakeHost, eventually

SOON_S = 0.002


def queued(host: FakeHost, spool: Spool, told: list[str]) -> Queued:
    return Queued(host, spool, name="hook", tell=told.append, waiting=100, rng=random.Random(1), first_s=SOON_S)


def opened(folder: Path, **bounds: int) -> Spool:
    return Spool.open(folder, bounds=Bounds(**bounds), name="hook")


def contents(spool: Spool) -> Iterator[bytes | None]:
    while (entry := spool.oldest()) is not None:
        yield entry.raw
        spool.remove(entry)


def test_documents_are_posted_in_order_and_leave_the_queue(tmp_path: Path) -> None:
    host, told = FakeHost(ACCEPTED), []
    channel = queued(host, opened(tmp_path / "q"), told)
    for number in range(5):
        channel.offer(b"%d" % number)
    assert eventually(lambda: channel.counts().delivered == 5)
    channel.close(within_s=5.0)
    assert [raw for _, raw in host.got] == [b"0", b"1", b"2", b"3", b"4"]
    assert len({key for key, _ in host.got}) == 5
    assert [path.name for path in (tmp_path / "q").iterdir()] == ["lock"]
    assert told == []


def test_host_that_does_not_answer_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    host, told = FakeHost(LATER, LATER, LATER, ACCEPTED), []
    channel = queued(host, opened(tmp_path / "q"), told)
    channel.offer(b"{}")
    assert eventually(lambda: channel.counts().delivered == 1)
    channel.close(within_s=5.0)
    assert len(host.got) == 4
    assert len(set(host.got)) == 1
    assert told == [
        "hook: cannot be reached: Connection refused; 1 documents wait, and are tried again",
        "hook: answers again; 0 documents wait",
    ]


def test_what_is_refused_is_not_tried_again_and_what_follows_is(tmp_path: Path) -> None:
    host, told = FakeHost(REFUSED, ACCEPTED), []
    channel = queued(host, opened(tmp_path / "q"), told)
    channel.offer(b"1")
    channel.offer(b"2")
    assert eventually(lambda: channel.counts() == Counts(delivered=1, failed=1))
    channel.close(within_s=5.0)
    assert told == ["hook: answered 404: refused for good; this document is not tried again"]


def test_what_was_not_posted_is_there_after_a_restart(tmp_path: Path) -> None:
    told: list[str] = []
    channel = queued(FakeHost(LATER), opened(tmp_path / "q"), told)
    channel.offer(b"1")
    channel.offer(b"2")
    channel.close(within_s=1.0)
    assert channel.counts().waiting == 2
    assert told[-1] == "hook: 2 documents wait for the next start"
    host = FakeHost(ACCEPTED)
    again = queued(host, opened(tmp_path / "q"), told)
    assert eventually(lambda: again.counts().delivered == 2)
    again.close(within_s=5.0)
    assert [raw for _, raw in host.got] == [b"1", b"2"]


def test_host_that_hangs_keeps_no_document_from_the_disk(tmp_path: Path) -> None:
    hung, go_on = threading.Event(), threading.Event()

    class Hanging(FakeHost):
        def post(self, raw: bytes, *, key: str) -> Answer:
            hung.set()
            go_on.wait(5.0)
            return super().post(raw, key=key)

    channel = queued(Hanging(ACCEPTED), opened(tmp_path / "q"), [])
    channel.offer(b"1")
    assert hung.wait(5.0)
    channel.offer(b"2")
    assert eventually(lambda: len(list((tmp_path / "q").glob("*.json"))) == 2)
    go_on.set()
    channel.close(within_s=5.0)
    assert channel.counts().delivered == 2


def test_queue_in_memory_says_what_is_lost() -> None:
    told: list[str] = []
    channel = queued(FakeHost(LATER), Spool.in_memory(bounds=Bounds()), told)
    channel.offer(b"1")
    channel.close(within_s=1.0)
    assert told[-1] == "hook: 1 documents are lost"


def test_pauses_double_up_to_a_minute_and_are_never_in_step() -> None:
    pauses = [[pause_s(failures, random.Random(seed)) for failures in (1, 2, 3, 7, 500)] for seed in range(50)]
    wholes = (1.0, 2.0, 4.0, 60.0, 60.0)
    assert all(whole / 2 <= pause <= whole for row in pauses for pause, whole in zip(row, wholes, strict=True))
    assert len({row[0] for row in pauses}) == 50


CODES = {
    200: Verdict.ACCEPTED,
    204: Verdict.ACCEPTED,
    301: Verdict.REFUSED,
    400: Verdict.REFUSED,
    404: Verdict.REFUSED,
    408: Verdict.LATER,
    429: Verdict.LATER,
    500: Verdict.LATER,
    503: Verdict.LATER,
    100: Verdict.LATER,
}


@pytest.mark.parametrize(("code", "verdict"), CODES.items(), ids=map(str, CODES))
def test_code_means(code: int, verdict: Verdict) -> None:
    assert judged(code).verdict is verdict


def test_spool_keeps_the_newest(tmp_path: Path) -> None:
    spool = opened(tmp_path / "q", documents=3)
    for number in range(5):
        spool.put(b"%d" % number)
    assert (spool.dropped, list(contents(spool))) == (2, [b"2", b"3", b"4"])
    small = opened(tmp_path / "s", size_bytes=10)
    for number in range(5):
        small.put(b"%d234" % number)
    assert (small.dropped, list(contents(small))) == (3, [b"3234", b"4234"])


def test_spool_of_one_process_is_not_another_ones(tmp_path: Path) -> None:
    first = opened(tmp_path / "q")
    with pytest.raises(ConfigError) as refusal:
        opened(tmp_path / "q")
    assert str(refusal.value) == (
        f"sink 'hook': {tmp_path / 'q'}: another process uses this queue; end it, or choose another with queue=DIR"
    )
    first.close()
    opened(tmp_path / "q").close()


def test_spool_leaves_out_what_a_power_cut_has_torn(tmp_path: Path) -> None:
    spool = opened(tmp_path / "q")
    spool.put(b"{}")
    spool.close()
    (tmp_path / "q" / ".00000000000000000002-x.json.abc.tmp").write_bytes(b'{"fra')
    (tmp_path / "q" / "notes.txt").write_bytes(b"somebody's")
    again = opened(tmp_path / "q")
    assert list(contents(again)) == [b"{}"]
    assert sorted(path.name for path in (tmp_path / "q").iterdir()) == ["lock", "notes.txt"]


def test_document_that_vanished_is_dropped(tmp_path: Path) -> None:
    spool = opened(tmp_path / "q")
    spool.put(b"1")
    spool.put(b"2")
    next(iter(sorted((tmp_path / "q").glob("*.json")))).unlink()
    assert (list(contents(spool)), spool.dropped) == ([b"2"], 1)


def test_full_disk_is_told_and_the_document_waits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path / "q")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(DeliveryError) as refusal:
            spool.put(b"1")
    assert str(refusal.value) == (
        f"{tmp_path / 'q'}: the queue cannot be written: No space left on device; until it can, a restart loses what "
        "waits"
    )
    assert not spool.survives
    spool.put(b"2")
    assert list(contents(spool)) == [b"1", b"2"]


@pytest.fixture
def server() -> Iterator[tuple[int, list[tuple[str, bytes]], list[int]]]:
    got: list[tuple[str, bytes]] = []
    codes: list[int] = []
    always = itertools.repeat(204)

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            code = codes.pop(0) if codes else next(always)
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running.server_port, got, codes
        running.shutdown()
        thread.join()


def test_real_host_gets_the_documents(server: tuple[int, list[tuple[str, bytes]], list[int]], tmp_path: Path) -> None:
    port, got, _ = server
    with sinks.open_all([sinks.parse(f"http://127.0.0.1:{port}/hook?unit=3")], queues=tmp_path) as all_sinks:
        all_sinks.send({"event": "raised", "state": "alert"})
    assert got == [("/hook?unit=3", b'{"schema_version":1,"event":"raised","state":"alert"}')]
    assert all_sinks.statistics()[0].delivered == 1


def test_redirect_is_not_followed(server: tuple[int, list[tuple[str, bytes]], list[int]]) -> None:
    port, got, codes = server
    codes.append(302)
    address = Address(secure=False, host="127.0.0.1", port=port, path="/hook")
    answer = Poster(address, timeout_s=5.0, ca=None, name="x").post(b"{}", key="k")
    assert answer == Answer(verdict=Verdict.REFUSED, words="answered 302: redirects are not followed")
    assert [path for path, _ in got] == ["/hook"]


def test_proxy_of_the_environment_is_not_used(
    server: tuple[int, list[tuple[str, bytes]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, got, _ = server
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    address = Address(secure=False, host="127.0.0.1", port=port, path="/hook")
    assert Poster(address, timeout_s=5.0, ca=None, name="x").post(b"{}", key="k").verdict is Verdict.ACCEPTED
    assert len(got) == 1


def test_port_where_nobody_listens_is_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = Address(secure=False, host="127.0.0.1", port=port, path="/")
    answer = Poster(address, timeout_s=5.0, ca=None, name="x").post(b"{}", key="k")
    assert answer == Answer(verdict=Verdict.LATER, words="cannot be reached: Connection refused")


def test_host_that_never_answers_is_given_up_after_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address(secure=False, host="127.0.0.1", port=silent.getsockname()[1], path="/")
        answer = Poster(address, timeout_s=0.05, ca=None, name="x").post(b"{}", key="k")
    assert answer == Answer(verdict=Verdict.LATER, words="cannot be reached: timed out")


def test_authority_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"no certificate")
    text = f"https,ca={path}://host/"
    with pytest.raises(ConfigError) as refusal:
        sinks.open_all([sinks.parse(text)], tell=lambda _: None)
    assert str(refusal.value).startswith(f"sink '{text}': {path}: expected certificates in PEM form: ")
