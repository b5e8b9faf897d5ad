from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemed.benchmark import document
from edgemed.errors import ConfigError
from tests.benchmark import made


def test_document_comes_back_as_it_was(rng: np.random.Generator) -> None:
    result = made.result(made.columns(rng))
    raw = document.encode(result)
    assert raw.startswith(b'{"schema_version":1,"kind":"measurement",')
    assert document.parse(raw, source="now.json") == result


@pytest.fixture
def tree(rng: np.random.Generator) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(document.encode(made.result(made.columns(rng, 3))))
    return found


CASES = {
    "schema": (
        {"schema_version": 2},
        "now.json: schema_version: expected 1, got 2; measure both with the same edgemed",
    ),
    "prediction": (
        {"kind": "prediction"},
        "now.json: kind: expected 'measurement', got 'prediction'; give what 'edgemed benchmark --save' wrote",
    ),
    "unknown-key": ({"stage": {}}, "now.json: stage: unknown key; did you mean 'stages'?"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_document_is_refused(name: str, tree: dict[str, object]) -> None:
    changes, said = CASES[name]
    with pytest.raises(ConfigError) as refused:
        document.parse(msgspec.json.encode({**tree, **changes}), source="now.json")
    assert str(refused.value) == said


def test_document_of_another_command_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        document.parse(b'{"schema_version": 1, "results": []}', source="screen.json")
    assert str(refused.value) == (
        "screen.json: kind: expected 'measurement', got a document without kind; give what 'edgemed benchmark --save' "
        "wrote"
    )
