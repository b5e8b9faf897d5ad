from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from converters import keras_file
from edgemed.errors import ConfigError, ConversionError, EdgemedError

DENSE = {"class_name": "Dense", "module": "keras.layers", "registered_name": None, "config": {"units": 1}}


def _saved(path: Path, *layers: dict[str, Any], **top: Any) -> Path:
    """Write a file of the form of a saved model; its layers are what a configuration holds, not what Keras builds."""
    tree = {"class_name": "Functional", "module": "keras", "registered_name": None, "config": {"layers": layers}, **top}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(tree))
    return path


FOREIGN = {
    "Lambda": (
        {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "scale", "function": {"value": ["4wE"]}}},
        "the Lambda layer scale",
    ),
    "lambda as activation": (
        {**DENSE, "config": {"units": 1, "activation": {"value": ["4wEAAA=", None, None]}}},
        "a lambda function",
    ),
    "lambda by name": (
        {**DENSE, "config": {"activation": {"class_name": "__lambda__", "config": {"value": ["4wE"]}}}},
        "a lambda function",
    ),
    "registered class": (
        {"class_name": "Blur", "module": None, "registered_name": "mine>Blur", "config": {}},
        "the class mine>Blur",
    ),
    "unregistered class": (
        {"class_name": "Blur", "module": None, "registered_name": "Blur", "config": {}},
        "the class Blur",
    ),
    "class of a module": (
        {"class_name": "system", "module": "os", "registered_name": None, "config": {}},
        "the class system of os",
    ),
    "function": (
        {
            **DENSE,
            "config": {"activation": {"class_name": "function", "module": "builtins", "config": "act"}},
        },
        "the function act",
    ),
    "inside a nested model": (
        {
            "class_name": "Sequential",
            "module": "keras",
            "config": {"layers": [{"class_name": "Blur", "module": "lab.layers", "config": {}}]},
        },
        "the class Blur of lab.layers",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_code_that_comes_with_a_model_is_named_and_refused(name: str, tmp_path: Path) -> None:
    layer, words = FOREIGN[name]
    path = _saved(tmp_path / "model.keras", DENSE, layer)
    with pytest.raises(ConversionError) as caught:
        keras_file.require_plain(path)
    assert str(caught.value) == (
        f"{path}: expected layers of Keras only, got {words}: code that comes with a model is not run; build the model "
        "from Keras layers and save it again"
    )


def test_all_of_it_is_in_one_message(tmp_path: Path) -> None:
    path = _saved(tmp_path / "model.keras", *(layer for layer, _ in FOREIGN.values()))
    with pytest.raises(ConversionError) as caught:
        keras_file.require_plain(path)
    assert all(words in str(caught.value) for _, words in FOREIGN.values())


def test_how_a_model_was_compiled_does_not_count(tmp_path: Path) -> None:
    loss = {"class_name": "function", "module": "builtins", "config": "focal_loss"}
    keras_file.require_plain(_saved(tmp_path / "model.keras", DENSE, compile_config={"loss": loss}))


def _not_a_zip(path: Path) -> Path:
    path.write_bytes(b"\x89HDF\r\n\x1a\n and the rest of an older format")
    return path


def _another_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def _no_json(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{'single': 'quotes'")
    return path


@pytest.mark.parametrize(
    ("made", "detail"),
    [
        pytest.param(_not_a_zip, "File is not a zip file", id="HDF5"),
        pytest.param(_another_zip, "\"There is no item named 'config.json' in the archive\"", id="another archive"),
        pytest.param(
            _no_json,
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            id="damaged configuration",
        ),
    ],
)
def test_file_of_another_kind_is_refused(made: Any, detail: str, tmp_path: Path) -> None:
    path = made(tmp_path / "model.keras")
    with pytest.raises(ConfigError) as caught:
        keras_file.require_plain(path)
    assert str(caught.value) == (
        f"{path}: expected a model saved by Keras 3 as .keras, got a file that is not: {detail}; load it where it was "
        "made and save it with model.save('model.keras')"
    )


def test_any_flipped_byte_gives_a_model_or_an_error_of_ours(tmp_path: Path) -> None:
    raw = _saved(tmp_path / "model.keras", DENSE).read_bytes()
    path = tmp_path / "flipped.keras"
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 0x55]) + raw[place + 1 :])
        try:
            keras_file.require_plain(path)
        except EdgemedError as error:
            assert str(path) in str(error)


@pytest.mark.tensorflow
def test_what_keras_itself_saves_is_told_apart(tmp_path: Path) -> None:
    """Real files: the forms above are those that this Keras writes."""
    keras = pytest.importorskip("keras", reason="needs the train extra")

    def named(x: Any) -> Any:
        return x

    plane = keras.Input((8, 8, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(plane)
    cases = {
        "plain": (keras.layers.Dense(1, activation="relu"), None),
        "lambda": (keras.layers.Lambda(lambda x: x, output_shape=(1,), name="same"), "the Lambda layer same"),
        "function": (keras.layers.Dense(1, activation=named), "the function named"),
    }
    for name, (layer, words) in cases.items():
        path = tmp_path / f"{name}.keras"
        keras.Model(plane, layer(pooled)).save(path)
        if words is None:
            loaded = keras_file.load(path)
            assert loaded.output_shape == (None, 1)
            continue
        with pytest.raises(ConversionError, match=words):
            keras_file.load(path)


@pytest.mark.tensorflow
def test_damaged_weights_are_a_config_error(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="needs the train extra")
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    cut = tmp_path / "cut.keras"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(cut, "w") as archive:
        for name in whole.namelist():
            raw = whole.read(name)
            archive.writestr(name, raw[: len(raw) // 2] if name.endswith(".h5") else raw)
    with pytest.raises((ConfigError, ConversionError)) as caught:
        keras_file.load(cut)
    assert str(caught.value).startswith(f"{cut}: ")
