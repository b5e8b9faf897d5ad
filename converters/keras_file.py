"""Read a Keras model that somebody else has saved, without running anything it brings along.

A ``.keras`` file may name Python code: a Lambda layer, a custom class, a function. Such a file is refused by name
before Keras sees it, and Keras then loads the rest in its safe mode.

    model = keras_file.load(Path("model.keras"))
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.errors import ConfigError, ConversionError

if TYPE_CHECKING:
    import keras

__all__ = ["load", "require_plain"]

_CONFIG = "config.json"
_CONFIG_LIMIT_BYTES = 1 << 25


def require_plain(path: Path) -> None:
    """Return when a file is a saved Keras model that names nothing but Keras' own layers; nothing of it is run.

    Raises:
        ConfigError: the file is missing or no saved Keras 3 model.
        ConversionError: it names Lambda layers, custom classes or functions; all are in the message.
    """
    config = _config(path)
    if foreign := sorted(set(_foreign(config))):
        raise ConversionError(
            f"{path}: expected layers of Keras only, got {', '.join(foreign)}: code that comes with a model is not "
            "run; build the model from Keras layers and save it again"
        )


def load(path: Path) -> keras.Model:
    """Return the model in a ``.keras`` file, without its optimizer.

    Raises:
        ConfigError: as `require_plain`, or the file is damaged.
        ConversionError: as `require_plain`, or Keras refuses what it names.
    """
    require_plain(path)
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as err:
        raise ConfigError(f"{path}: expected a saved Keras model, got a damaged one: {_first(err)}") from err
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, RecursionError) as err:
        raise ConversionError(
            f"{path}: Keras {keras.__version__} cannot build this model: {_first(err)}; save it again with this version"
        ) from err


def _config(path: Path) -> Any:
    """Return the model's configuration as JSON; the weights stay untouched."""
    if not path.is_file():
        raise ConfigError(f"{path}: expected a run folder or a saved Keras model, found none; check the path")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_CONFIG) as stream:
            raw = stream.read(_CONFIG_LIMIT_BYTES + 1)
        if len(raw) > _CONFIG_LIMIT_BYTES:
            raise ConfigError(f"{path}: {_CONFIG} is larger than the {_CONFIG_LIMIT_BYTES} bytes accepted here")
        return json.loads(raw)
    # RuntimeError: encrypted; NotImplementedError: a compression this Python lacks.
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        RuntimeError,
        RecursionError,
        zlib.error,
        zipfile.BadZipFile,
    ) as err:
        raise ConfigError(
            f"{path}: expected a model saved by Keras 3 as .keras, got a file that is not: {_first(err)}; load it "
            "where it was made and save it with model.save('model.keras')"
        ) from err


def _foreign(node: Any) -> Iterator[str]:
    """Yield what a configuration names and Keras does not ship; how the model was compiled does not count."""
    if isinstance(node, list):
        for value in node:
            yield from _foreign(value)
    if not isinstance(node, dict):
        return
    if found := _foreign_object(node):
        yield found
        return
    for key, value in node.items():
        if key != "compile_config":
            yield from _foreign(value)


def _foreign_object(node: dict[str, Any]) -> str | None:
    """Return in words what Keras would need code for, or None."""
    code = node.get("value")
    if node.get("class_name") == "__lambda__" or (isinstance(code, list) and code and isinstance(code[0], str)):
        return "a lambda function"
    if node.get("class_name") is None or node.get("config") is None:
        return None
    return _foreign_class(str(node["class_name"]), node["config"], node)


def _foreign_class(kind: str, config: Any, node: dict[str, Any]) -> str | None:
    module = node.get("module")
    if kind == "Lambda":
        return f"the Lambda layer {config.get('name') if isinstance(config, dict) else ''}".strip()
    if kind == "function":
        return f"the function {config}"
    if module is None and node.get("registered_name"):
        return f"the class {node['registered_name']}"
    if module is not None and str(module).split(".")[0] not in ("keras", "builtins"):
        return f"the class {kind} of {module}"
    return None


def _first(err: Exception) -> str:
    """Return the start of a message, or the error's class where it has none."""
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300]
