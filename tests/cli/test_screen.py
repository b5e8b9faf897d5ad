from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemed import targets
from edgemed.bundle import trust
from edgemed.cli import main
from edgemed.runtime import backends, worklist
from tests.bundle.tiny import KEY
from tests.cli import screens
from tests.cli.screens import ALERT, Ran
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return screens.working_folder(tmp_path, monkeypatch)


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    return screens.screening(capsys)


def labels_bundle(home: Path) -> None:
    document = tiny.rule(tiny.labels_model(), threshold=ALERT)
    raw = tiny.raw_bundle(tiny.labels_model(), document, **tiny.LABELS)
    (home / "labels.edgemed").write_bytes(raw)


def test_several_labels_have_a_score_each(run: Ran, home: Path) -> None:
    labels_bundle(home)

    code, out, _ = run("scan.png", "--json", "--heatmaps", "out", bundle="labels.edgemed")

    assert code == 0
    (entry,) = json.loads(out)["results"]
    assert len(entry["logit"]) == 3
    assert list(entry["label_scores"]) == ["normal", "benign", "malignant"]
    assert sum(entry["label_scores"].values()) == pytest.approx(1.0)
    assert entry["label_scores"]["malignant"] == pytest.approx(entry["score"])
    assert entry["score"] == pytest.approx(np.exp(entry["logit"][2]) / np.exp(entry["logit"]).sum())
    assert (home / "out" / entry["heatmap"]).is_file()


def test_several_labels_are_shown(run: Ran, home: Path) -> None:
    labels_bundle(home)
    (home / "again.png").write_bytes((home / "scan.png").read_bytes())

    _, one, _ = run("scan.png", bundle="labels.edgemed")
    _, table, _ = run("scan.png", "again.png", bundle="labels.edgemed")

    assert re.search(r"^  benign +0\.\d{3}$", one, re.MULTILINE)
    assert len(re.findall(r"alert .*0\.\d{3}, (normal|benign|malignant) 0\.\d{3}", table)) == 2


def test_one_logit_has_no_score_for_labels(run: Ran) -> None:
    _, out, _ = run("scan.png", "--json")
    assert "label_scores" not in out


def test_json_is_the_documents_of_the_contract(run: Ran, home: Path) -> None:
    code, out, err = run("scan.png", "--json", "--threads", "2", "--heatmaps", "out")

    document = json.loads(out)
    verified = trust.open_bundle(home / "alert.edgemed", keys=[KEY.public])
    assert (code, err) == (0, "")
    assert list(document) == ["schema_version", "bundle", "runtime", "results", "summary"]
    assert document["schema_version"] == 1
    assert list(document["bundle"].items()) == [
        ("name", "tiny"),
        ("version", "1.2.3"),
        ("digest", verified.digest),
        ("decision_version", 3),
        ("overlay", False),
    ]
    assert list(document["runtime"].items()) == [
        ("backend", backends.available()[0]),
        ("target", targets.generic_id()),
        ("threads", 2),
        ("fallback", False),
        ("member", "model/int8.tflite"),
        ("reason", None),
    ]
    assert list(document["summary"].items()) == [("alert", 1), ("clear", 0), ("indeterminate", 0), ("refused", 0)]
    assert len(document["results"]) == 1


def test_json_of_a_screened_frame_has_every_value(run: Ran) -> None:
    _, out, _ = run("scan.png", "--json", "--heatmaps", "out")

    result = json.loads(out)["results"][0]
    assert list(result) == [
        "input",
        "frame",
        "decision",
        "score",
        "logit",
        "operating_point",
        "threshold",
        "reasons",
        "ood_distance",
        "fallback",
        "latency_ms",
        "heatmap",
    ]
    assert (result["input"], result["frame"], result["decision"]) == ("scan.png", 0, "alert")
    assert (result["operating_point"], result["threshold"], result["reasons"]) == ("rule-out", ALERT, [])
    assert 0.0 < result["score"] < 1.0
    assert result["score"] == pytest.approx(1 / (1 + np.exp(-result["logit"][0])))
    assert 0.0 <= result["ood_distance"] < 1.0
    assert result["heatmap"] == "0001-scan.0.png"
    latency = result["latency_ms"]
    assert list(latency) == ["decode", "preprocess", "infer", "decide", "record", "total"]
    assert latency["record"] == 0.0
    assert latency["total"] == pytest.approx(sum(value for name, value in latency.items() if name != "total"), abs=1e-3)


def test_json_of_an_unreadable_input_leaves_out_what_never_was(run: Ran) -> None:
    code, out, _ = run("missing.png", "--json", "--heatmaps", "out")

    result = json.loads(out)["results"][0]
    latency = result.pop("latency_ms")
    assert code == 8
    assert result == {
        "input": "missing.png",
        "frame": 0,
        "decision": "refused",
        "score": None,
        "logit": None,
        "operating_point": "rule-out",
        "threshold": None,
        "reasons": ["missing.png: cannot be read: No such file or directory; check the path and its permissions"],
        "ood_distance": None,
        "fallback": False,
        "heatmap": None,
    }
    assert latency["decode"] == latency["total"]
    assert [latency[name] for name in ("preprocess", "infer", "decide", "record")] == [None] * 4


def test_out_of_distribution_keeps_logit_and_distance(run: Ran, home: Path) -> None:
    document = tiny.rule(tiny.model(), out_of_distribution=tiny.limits(limit=1e-6))
    (home / "strict.edgemed").write_bytes(tiny.raw_bundle(tiny.model(), document))

    code, out, _ = run("scan.png", "--json", "--heatmaps", "out", bundle="strict.edgemed")

    result = json.loads(out)["results"][0]
    assert (code, result["decision"], result["score"], result["heatmap"]) == (8, "refused", None, None)
    assert result["ood_distance"] > 1.0
    assert len(result["logit"]) == 1
    assert result["reasons"][0].startswith("out of distribution: ")


@pytest.mark.parametrize(
    ("words", "bundle", "code"),
    [
        pytest.param(["scan.png"], "alert.edgemed", 0, id="an alert alone"),
        pytest.param(["scan.png", "--fail-on-alert"], "alert.edgemed", 10, id="an alert that is asked for"),
        pytest.param(["scan.png", "--fail-on-alert"], "clear.edgemed", 0, id="no alert"),
        pytest.param(["scan.png", "missing.png"], "alert.edgemed", 8, id="a refusal"),
        pytest.param(["scan.png", "missing.png", "--fail-on-alert"], "alert.edgemed", 10, id="10 beats 8"),
        pytest.param(["scan.png", "missing.png", "--fail-on-alert"], "clear.edgemed", 8, id="8 without an alert"),
    ],
)
def test_exit_code_says_what_was_found(run: Ran, words: list[str], bundle: str, code: int) -> None:
    assert run(*words, bundle=bundle)[0] == code


def test_heatmaps_are_pictures_with_numbers_for_names(run: Ran, home: Path) -> None:
    (home / "Doe Jane.png").write_bytes(tiny.png(tiny.picture(seed=2)))

    run("scan.png", "Doe Jane.png", "--heatmaps", "new/out")

    written = sorted((home / "new" / "out").iterdir())
    assert [path.name for path in written] == ["0001-scan.0.png", "0002-scan.0.png"]
    assert all(cv2.imread(str(path)).shape[1] == 512 for path in written)


def test_folder_that_cannot_be_written_stops_before_screening(run: Ran, home: Path) -> None:
    (home / "file").write_bytes(b"")

    code, out, err = run("scan.png", "--heatmaps", "file/out")

    assert (code, out) == (2, "")
    assert err == "edgemed: --heatmaps: file/out: cannot be written: Not a directory; choose another folder\n"


def test_older_pictures_in_the_folder_are_told(run: Ran, home: Path) -> None:
    run("scan.png", "--heatmaps", "out")

    _, _, err = run("scan.png", "--json", "--heatmaps", "out")

    assert err == "--heatmaps: out: holds older files; pictures with the same number are replaced\n"


def test_failed_picture_loses_no_decision(run: Ran, home: Path) -> None:
    (home / "out" / "0002-scan.0.png").mkdir(parents=True)

    code, out, err = run("scan.png", "scan.png", "scan.png", "--json", "--heatmaps", "out")

    results = json.loads(out)["results"]
    assert code == 2
    assert [result["decision"] for result in results] == ["alert"] * 3
    assert [result["heatmap"] for result in results] == ["0001-scan.0.png", None, None]
    assert "edgemed: --heatmaps: out/0002-scan.0.png: cannot be written: " in err


def test_failed_picture_does_not_hide_an_alert(run: Ran, home: Path) -> None:
    (home / "out" / "0001-scan.0.png").mkdir(parents=True)

    code, out, err = run("scan.png", "--json", "--heatmaps", "out", "--fail-on-alert")

    assert (code, json.loads(out)["summary"]["alert"]) == (10, 1)
    assert "edgemed: --heatmaps: out/0001-scan.0.png: cannot be written: " in err


@pytest.mark.parametrize("words", [["--json"], []], ids=["document", "lines"])
def test_interrupt_shows_what_is_done_and_exits_130(
    run: Ran, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def interrupted(screener: object, paths: Iterable[Path]) -> Iterator[worklist.Outcome]:
        yield next(judged(screener, paths))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    judged = worklist.screen
    monkeypatch.setattr(worklist, "screen", interrupted)

    code, out, err = run("scan.png", "missing.png", *words)

    assert code == 130
    assert (json.loads(out)["summary"]["alert"] == 1) if words else ("alert" in out)
    assert err.endswith("edgemed: interrupted\n")


def test_narrow_terminal_tells_which_input_alerted(run: Ran, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    folder = "a-folder-of-a-ward/with-a-long-name-to-it/and-one-more-folder-in-it-still"
    (home / folder).mkdir(parents=True)
    for number in (1, 2):
        (home / folder / f"{number}.png").write_bytes(tiny.png(tiny.picture(seed=number)))

    out = re.sub(r"\x1b\[[0-9;]*m", "", run(folder)[1])

    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    inputs = "".join(re.findall(r"^│ (\S+)", out, re.MULTILINE))
    assert inputs == f"{folder}/1.png{folder}/2.png"
    assert " ms " not in out


def test_single_frame_is_shown_as_names_and_values(run: Ran) -> None:
    code, out, err = run("scan.png", "--heatmaps", "out")

    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert lines["bundle"] == "tiny 1.2.3"
    assert lines["input"] == "scan.png, frame 0"
    assert lines["decision"] == "alert"
    assert lines["score"].endswith("(rule-out, threshold 0.010)")
    assert lines["heatmap"] == "0001-scan.0.png"
    assert err == "1 alert. Research use only, not a diagnosis.\n"


def test_several_frames_are_shown_as_a_table(run: Ran) -> None:
    code, out, err = run("scan.png", "missing.png")

    assert code == 8
    assert out.startswith("tiny 1.2.3")
    assert [word in out for word in ("input", "decision", "scan.png", "alert", "refused", "cannot be read")] == [
        True
    ] * 6
    assert err == "1 alert, 1 refused. Research use only, not a diagnosis.\n"


def test_same_inputs_give_the_same_results(run: Ran) -> None:
    def judged() -> list[dict[str, Any]]:
        results = json.loads(run("scan.png", "missing.png", "--json")[1])["results"]
        return [{key: value for key, value in result.items() if key != "latency_ms"} for result in results]

    assert judged() == judged()


def test_what_a_bundle_lacks_is_said_on_stderr(run: Ran, home: Path) -> None:
    (home / "plain.edgemed").write_bytes(tiny.raw_bundle(tiny.model()))

    _, out, err = run("scan.png", "--json", bundle="plain.edgemed")

    assert json.loads(out)["results"][0]["ood_distance"] is None
    assert err == "tiny: the bundle has no out-of-distribution limit: unlike images are not refused\n"


def test_without_a_bundle_the_error_says_what_to_give(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert main(["screen", "scan.png"]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(
        "edgemed: --bundle: expected a bundle, got none, and this device has no store with an active one; give a "
        "bundle file, or the name of one that ships with edgemed: "
    )


def test_bundle_of_an_unknown_maker_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", "scan.png", "--bundle", "alert.edgemed", "--trust", "other.pub"]) == 5
    assert main(["screen", "scan.png", "--bundle", "alert.edgemed"]) == 5
    assert capsys.readouterr().out == ""


def test_user_who_trusts_the_maker_needs_no_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "trust", "my.pub"]) == 0
    assert main(["screen", "scan.png", "--bundle", "alert.edgemed"]) == 0


def test_altered_bundle_is_refused(run: Ran, home: Path) -> None:
    raw = bytearray((home / "alert.edgemed").read_bytes())
    raw[len(raw) // 2] ^= 1
    (home / "altered.edgemed").write_bytes(raw)

    code, out, _ = run("scan.png", bundle="altered.edgemed")

    assert (code, out) == (5, "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["--backend", "onnx"], 2, id="unknown back end"),
        pytest.param(["--threads", "0"], 2, id="no threads"),
        pytest.param(["--threads", "100000"], 2, id="too many threads"),
        pytest.param(["--heatmaps", ""], 2, id="empty folder name"),
        pytest.param(["--heatmaps", "a", "--heatmaps", "b"], 2, id="two folders"),
        pytest.param(["--bundle", "clear.edgemed"], 2, id="two bundles"),
        pytest.param([""], 2, id="empty input"),
    ],
)
def test_wrong_options_are_usage_errors(run: Ran, words: list[str], code: int) -> None:
    assert run("scan.png", *words)[:2] == (code, "")


def test_process_writes_one_document_and_no_greeting(home: Path) -> None:
    program = "import sys; from edgemed.cli import main; sys.exit(main())"
    words = ["screen", str(home / "scan.png"), "--bundle", str(home / "alert.edgemed"), "--trust", str(home / "my.pub")]

    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["summary"]["alert"] == 1
    assert done.stderr == ""


def test_process_loads_only_what_a_still_needs(home: Path) -> None:
    program = (
        "import sys; from edgemed.cli import main; code = main(sys.argv[1:])\n"
        "heavy = ('rich', 'yaml', 'pydicom', 'psutil', 'tensorflow', 'keras', 'importlib.metadata')\n"
        "sys.stderr.write(repr([name for name in heavy if name in sys.modules])); sys.exit(code)"
    )
    words = ["screen", str(home / "scan.png"), "--bundle", str(home / "alert.edgemed"), "--trust", str(home / "my.pub")]

    done = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stderr.endswith("diagnosis.\n[]")
