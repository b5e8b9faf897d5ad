"""Target files: nine devices, each complete, each number with its reason; and what a wrong file is told."""

from __future__ import annotations

import platform
import re
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema, targets
from edgemed.errors import ConfigError, TargetMismatchError

FOLDER = Path(str(resources.files("firmware_configs")))
DEVICES = (
    "coral-dev-board",
    "coral-usb",
    "generic-aarch64",
    "generic-x86-64",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-xavier-nx",
    "raspberry-pi-4",
    "raspberry-pi-5",
)
GOOD = (FOLDER / "coral-usb.yaml").read_text("utf-8")


def numbered_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(r": [\d.]+\s*(#|$)", line)]


def test_nine_devices_ship() -> None:
    assert targets.available() == DEVICES


@pytest.mark.parametrize("name", DEVICES)
def test_file_decodes_and_its_id_is_its_name(name: str) -> None:
    assert targets.load(name).id == name


@pytest.mark.parametrize("name", DEVICES)
def test_file_has_the_same_keys_in_the_same_order(name: str) -> None:
    def keys(tree: object) -> list[object]:
        return [(key, keys(value)) for key, value in tree.items()] if isinstance(tree, dict) else []

    mine = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    assert keys(mine) == keys(yaml.safe_load(GOOD))
    assert list(mine) == list(targets.Target.__struct_fields__)


@pytest.mark.parametrize("name", DEVICES)
def test_number_of_a_device_carries_its_source(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    facts = text.split("# Requirement of the use")[0]
    bare = [line for line in numbered_lines(facts) if "#" not in line and line != "schema: 1"]
    assert bare == []


@pytest.mark.parametrize("name", DEVICES)
def test_precision_carries_its_source(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert re.search(r"^precision: \w+  # .+$", text, re.MULTILINE)


def test_only_a_gpu_without_int8_computes_in_float16() -> None:
    assert [n for n in DEVICES if targets.load(n).precision is targets.Precision.FLOAT16] == ["jetson-nano"]


@pytest.mark.parametrize("name", DEVICES)
def test_number_carries_its_unit(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    keys = {line.split(":")[0].strip() for line in numbered_lines(text)}
    unitless = {key for key in keys if not key.endswith(("_mib", "_ms"))}
    # A version, a count and a number of the network have no unit.
    assert unitless <= {"schema", "threads", "port"}


@pytest.mark.parametrize("name", DEVICES)
def test_cine_budget_fits_thirty_frames_a_second(name: str) -> None:
    assert targets.load(name).budget(targets.Use.US_CINE_30).total_p99_ms <= 1000 / 30


@pytest.mark.parametrize("name", DEVICES)
def test_every_budget_carries_its_derivation(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert text.count("# Requirement of the use, not a measurement") == len(targets.Use)


@pytest.mark.parametrize("use", list(targets.Use), ids=lambda use: use.value)
def test_budget_of_a_use_is_the_group_of_its_name(use: targets.Use) -> None:
    target = targets.load("coral-usb")
    assert target.budget(use) is getattr(target, f"budget_{use.value.replace('-', '_')}")


def test_only_edge_tpus_have_a_delegate() -> None:
    for name in DEVICES:
        target = targets.load(name)
        assert (target.delegate.linux is not None) == (target.accelerator is targets.Accelerator.EDGETPU)


def test_unknown_id_suggests_the_near_match() -> None:
    with pytest.raises(ConfigError) as caught:
        targets.load("coral-ubs")
    assert str(caught.value) == (
        f"target: expected one of {', '.join(DEVICES)}, got 'coral-ubs'; did you mean 'coral-usb'?"
    )


@pytest.mark.parametrize("name", ["../pyproject", "", "coral-usb.yaml", "/etc/passwd"])
def test_id_never_becomes_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^target: expected one of "):
        targets.load(name)


WRONG = {
    "unknown-key": ("threads: 1", "treads: 1", "treads: unknown key; did you mean 'threads'?"),
    "missing-unit-of-memory": ("ram_mib: null", "ram: 1024", "memory.ram: unknown key; did you mean 'ram_mib'?"),
    "missing-unit-of-sram": ("sram_mib: 8", "sram: 8", "memory.sram: unknown key; did you mean 'sram_mib'?"),
    "missing-unit-of-budget": (
        "total_p99_ms: 33.3",
        "total_p99: 33.3",
        "budget_us_cine_30.total_p99: unknown key; did you mean 'total_p99_ms'?",
    ),
    "unit-in-the-value": (
        "sram_mib: 8",
        "sram_mib: 8 MiB",
        "memory.sram_mib: expected `int | null`, got `str`, value '8 MiB'",
    ),
    "missing-key": ("  port: null\n", "", "transport.port: required key is missing"),
    "wrong-accelerator": (
        "accelerator: edgetpu",
        "accelerator: tpu",
        "accelerator: invalid enum value 'tpu', value 'tpu'",
    ),
    "wrong-precision": (
        "precision: int8",
        "precision: int4",
        "precision: invalid enum value 'int4', value 'int4'",
    ),
    "precision-that-the-accelerator-lacks": (
        "precision: int8",
        "precision: float16",
        "precision: expected int8 with accelerator edgetpu, got float16",
    ),
    "missing-precision": ("precision: int8", "# precision: int8", "precision: required key is missing"),
    "range": ("threads: 1", "threads: 0", "threads: expected `int` >= 1, value 0"),
    "relative-store": (
        "path: null",
        "path: data",
        "store.path: expected `str` matching regex '^/[^\\\\x00]*\\\\Z', value 'data'",
    ),
    "other-schema": ("schema: 1", "schema: 2", "schema: invalid enum value 2, value 2"),
    "stages-over-total": (
        "infer_p99_ms: 14.0",
        "infer_p99_ms: 15.0",
        "budget_us_cine_30: stages sum to 34 ms, expected at most total_p99_ms 33.3",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file_is_refused_with_its_dotted_path(name: str) -> None:
    old, new, message = WRONG[name]
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        targets.parse(GOOD.replace(old, new, 1).encode(), source="mine.yaml")
    assert str(caught.value) == f"mine.yaml: {message}"


@given(st.binary(max_size=300))
def test_any_bytes_give_a_target_or_a_refusal(raw: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^fuzz: "):
        targets.parse(raw, source="fuzz")


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 40), st.text(max_size=5))
def test_any_edit_of_a_file_gives_a_target_or_a_refusal(start: int, length: int, text: str) -> None:
    edited = (GOOD[:start] + text + GOOD[start + length :]).encode()
    try:
        assert isinstance(targets.parse(edited, source="fuzz"), targets.Target)
    except ConfigError as err:
        assert str(err).startswith("fuzz: ")


def test_target_survives_the_round_trip_through_json() -> None:
    target = targets.load("jetson-orin-nano")
    assert schema.decode_json(schema.encode_json(target), targets.Target, source="json") == target


@pytest.mark.parametrize("arch", ["x86-64", "aarch64"])
def test_generic_target_fits_its_architecture(arch: str) -> None:
    target = targets.load(targets.generic_id(arch))
    assert target.arch == (arch,)
    assert target.accelerator is targets.Accelerator.NONE


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="edgemed has wheels for these two only")
def test_generic_target_of_this_machine_fits_it() -> None:
    assert targets.architecture() in targets.generic().arch


def test_machine_without_generic_target_is_refused() -> None:
    with pytest.raises(TargetMismatchError) as caught:
        targets.generic_id("armv7l")
    assert str(caught.value) == (
        "target: expected a machine of architecture x86-64 or aarch64, got 'armv7l'; edgemed has no wheels for it"
    )
