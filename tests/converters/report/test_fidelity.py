from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import export, qat, tflite_converter
from converters.report import fidelity, pairing
from edgemed import tflite
from edgemed.errors import ConversionError, InferenceError

pytestmark = pytest.mark.tensorflow

SIDE = 16
INT8_FLOOR_DB = 25.0  # what healthy layers of these models keep


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (12, 4, 4)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def screening() -> keras.Model:
    """Return a model as the zoo has them: folded normalisations, merged activations, a residual, two outputs."""
    keras.utils.set_random_seed(7)
    plane = keras.Input((SIDE, SIDE, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    x = kept = layers.ReLU(6.0, name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep")(x)
    x = layers.ReLU(name="deep_relu")(layers.BatchNormalization(name="deep_bn")(x))
    x = layers.BatchNormalization(name="thin_bn")(layers.Conv2D(8, 1, name="thin")(x))
    x = layers.Add(name="sum")([kept, x])
    x = layers.ReLU(name="late_relu")(layers.Conv2D(12, 3, strides=2, name="late")(x))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(x)
    model = keras.Model(plane, {"logit": layers.Dense(2, name="last")(pooled), "embedding": pooled}, name="screening")
    _lively(model)
    return model


def _lively(model: keras.Model) -> None:
    """Give normalisations statistics that fold into something else than a factor of 1."""
    rng = np.random.default_rng(3)
    for norm in (layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)):
        size = norm.gamma.shape
        norm.set_weights(
            [rng.uniform(0.5, 2, size), rng.normal(0, 0.3, size), rng.normal(0, 0.1, size), rng.uniform(0.2, 2, size)]
        )


@pytest.fixture(scope="module")
def float_raw(screening: keras.Model) -> bytes:
    return tflite_converter.float32(screening)


@pytest.fixture(scope="module")
def ptq_raw(screening: keras.Model, planes: np.ndarray) -> bytes:
    return tflite_converter.int8(screening, planes)


@pytest.fixture(scope="module")
def twin(screening: keras.Model, planes: np.ndarray) -> keras.Model:
    made = qat.quantization_aware(screening)
    qat.calibrate(made, planes)
    return made


@pytest.fixture(scope="module")
def qat_raw(twin: keras.Model, planes: np.ndarray) -> bytes:
    return export.int8_tflite(twin, planes)


@pytest.fixture(scope="module")
def sound(float_raw: bytes, qat_raw: bytes, planes: np.ndarray, names: list[str]) -> dict[str, fidelity.LayerError]:
    return {error.layer: error for error in fidelity.measure(float_raw, qat_raw, planes, layers=names).layers}


@pytest.fixture(scope="module")
def files(float_raw: bytes, qat_raw: bytes) -> tuple[bytes, bytes]:
    return float_raw, qat_raw


@pytest.fixture(scope="module")
def names(screening: keras.Model, twin: keras.Model) -> list[str]:
    return [layer.name for model in (screening, twin) for layer in model.layers]


def computed(raw: bytes) -> int:
    return sum(step.name not in pairing.RECODING for step in tflite.read(raw, source="model.tflite").operators)


@pytest.mark.parametrize("kind", ["ptq", "qat"])
def test_every_layer_is_measured_and_sound(
    kind: str, float_raw: bytes, planes: np.ndarray, names: list[str], request: pytest.FixtureRequest
) -> None:
    raw = request.getfixturevalue(f"{kind}_raw")
    found = fidelity.measure(float_raw, raw, planes, layers=names)
    assert found.unmatched == ()
    assert found.planes == len(planes)
    assert len(found.layers) == computed(raw) + 1
    assert {error.layer for error in found.layers} == {
        *("plane", "range", "stem_relu", "deep_relu", "sum", "late_relu", "embedding", "logit"),
        # Of merged layers the file names the last; the twin has no normalisation left, and each scaling is a layer.
        *{"ptq": ("thin_bn",), "qat": ("thin", "range_scaled")}[kind],
    }
    for error in found.layers:
        assert decibel(error) > INT8_FLOOR_DB, error
        assert error.cosine is not None
        assert error.cosine > 0.99


def test_figures_are_those_of_an_independent_computation(
    screening: keras.Model, float_raw: bytes, ptq_raw: bytes, planes: np.ndarray, names: list[str]
) -> None:
    """The float side from Keras, the int8 side from LiteRT as it is, the sums by hand."""
    from ai_edge_litert import interpreter as litert

    error = next(e for e in fidelity.measure(float_raw, ptq_raw, planes, layers=names).layers if e.layer == "sum")
    submodel = keras.Model(screening.inputs, screening.get_layer("sum").output)
    expected = np.asarray(submodel.predict_on_batch(planes[..., np.newaxis].astype(np.float32)), np.float64)
    interpreter = litert.Interpreter(
        model_content=ptq_raw,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    detail = next(d for d in interpreter.get_tensor_details() if d["name"] == error.tensor)
    scale, zero = detail["quantization"]
    stored = []
    for plane in planes:
        given = (plane.astype(np.int32) - 128).astype(np.int8)[np.newaxis, ..., np.newaxis]
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
        stored.append(interpreter.get_tensor(detail["index"]))
    integers = np.concatenate(stored).astype(np.float64)
    real = (integers - zero) * scale
    noise = ((expected - real) ** 2).sum()
    assert (error.scale, error.zero_point) == (pytest.approx(scale), zero)
    assert error.snr_db == pytest.approx(10 * np.log10((expected**2).sum() / noise), abs=0.01)
    assert error.rms_error == pytest.approx(np.sqrt(noise / real.size), rel=1e-3)
    length = np.linalg.norm(expected) * np.linalg.norm(real)
    assert error.cosine == pytest.approx((expected * real).sum() / length, abs=1e-6)
    assert error.saturated == pytest.approx(np.isin(integers, (-128, 127)).mean())


@pytest.mark.parametrize("layer", ["stem_relu", "deep_relu", "thin", "late_relu", "logit"])
@pytest.mark.parametrize("factor", [0, 1000], ids=["channels lost", "channels off by 1000"])
def test_damaged_kernel_is_found_first(
    factor: float, layer: str, sound: dict[str, fidelity.LayerError], files: tuple[bytes, bytes], planes: np.ndarray
) -> None:
    raw = damaged(files[1], sound[layer].tensor, factor)
    worst, *others = fidelity.measure(files[0], raw, planes).layers
    assert worst.tensor == sound[layer].tensor
    assert decibel(worst) < decibel(sound[layer]) - 8
    # The layers behind a kernel 1000 times too large meet values beyond their ranges.
    assert all(factor or decibel(error) > INT8_FLOOR_DB for error in others)


def decibel(error: fidelity.LayerError) -> float:
    assert error.own_snr_db is not None or error.own_rms_error == 0
    return np.inf if error.own_snr_db is None else error.own_snr_db


def damaged(raw: bytes, result: str, factor: float) -> bytes:
    """Return a file in which every second output channel of one kernel counts ``factor`` times: some see a ReLU's 0."""
    model = tflite.read(raw, source="model.tflite")
    step = next(one for one in model.operators if model.tensors[one.outputs[0]].name == result)
    kernel = model.tensors[step.inputs[1]]
    changed = tflite.values(model, kernel).astype(np.float64)
    channel = np.s_[..., ::2] if step.name == "DEPTHWISE_CONV_2D" else np.s_[::2]
    changed[channel] *= factor
    stored = np.clip(changed, -127, 127).astype(np.int8).tobytes()
    return raw[: kernel.data_start] + stored + raw[kernel.data_start + len(stored) :]


@pytest.mark.parametrize("layer", ["stem_relu", "deep_relu", "thin", "sum", "late_relu", "embedding"])
def test_clipped_range_is_found_first(
    layer: str, float_raw: bytes, twin: keras.Model, planes: np.ndarray, names: list[str]
) -> None:
    quantizer = twin.get_layer(f"{layer}_range")
    kept = quantizer.get_weights()
    quantizer.set_weights([weight / 20 for weight in kept])
    try:
        raw = export.int8_tflite(twin, planes)
    finally:
        quantizer.set_weights(kept)
    found = fidelity.measure(float_raw, raw, planes, layers=names)
    assert found.layers[0].layer == layer.removesuffix("_bn")
    assert found.layers[0].clipped > 0.2
    assert found.layers[0].saturated > 0.2


def test_errors_gather_but_do_not_move_to_the_layers_behind(
    files: tuple[bytes, bytes], sound: dict[str, fidelity.LayerError], planes: np.ndarray
) -> None:
    raw = damaged(files[1], sound["late_relu"].tensor, 0)
    logit = next(error for error in fidelity.measure(files[0], raw, planes).layers if error.layer == "logit")
    assert logit.snr_db is not None
    assert sound["logit"].snr_db is not None
    assert logit.snr_db < 20 < sound["logit"].snr_db
    assert decibel(logit) == pytest.approx(decibel(sound["logit"]), abs=6)


def test_nested_shared_and_gated_layers_are_paired(planes: np.ndarray) -> None:
    model = intricate()
    of_float, of_int8 = tflite_converter.float32(model), tflite_converter.int8(model, planes)
    found = fidelity.measure(of_float, of_int8, planes, layers=[layer.name for layer in model._flatten_layers()])
    assert found.unmatched == ()
    assert len(found.layers) == computed(of_int8) + 1
    assert [error.layer for error in found.layers].count("shared") == 2
    assert [error.layer for error in found.layers].count("inner/c") == 2
    assert {"gate", "scale", "up", "leaky", "cat"} <= {error.layer for error in found.layers}
    assert all(decibel(error) > INT8_FLOOR_DB for error in found.layers)


def intricate() -> keras.Model:
    keras.utils.set_random_seed(4)
    given = keras.Input((SIDE // 2, SIDE // 2, 8))
    inner = keras.Model(
        given,
        layers.Add(name="s")([layers.Conv2D(8, 3, padding="same", activation="relu", name="c")(given), given]),
        name="inner",
    )
    shared = layers.Conv2D(8, 1, name="shared")
    plane = keras.Input((SIDE, SIDE, 1), name="plane")
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(plane)
    x = layers.Activation("hard_swish", name="swish")(layers.BatchNormalization(name="bn")(x))
    x = shared(layers.LeakyReLU(0.1, name="leaky")(shared(inner(x))))
    x = inner(x)
    branches = [layers.Conv2D(8, 1, name="left")(x), layers.Conv2D(8, 1, name="right")(x)]
    x = layers.Concatenate(name="cat")([*branches, layers.MaxPooling2D(3, 1, padding="same", name="pool")(x)])
    gate = layers.Conv2D(24, 1, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply(name="scale")([x, gate])
    x = layers.UpSampling2D(2, name="wide")(layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(x))
    return keras.Model(plane, {"logit": layers.Dense(1, name="last")(layers.GlobalAveragePooling2D()(x))}, name="odd")


def test_layer_that_only_the_int8_file_has_is_listed(planes: np.ndarray) -> None:
    plane = keras.Input((SIDE, SIDE, 1), name="plane")
    first = layers.Conv2D(4, 3, name="first")
    kept = layers.Dense(1, name="last")(layers.Flatten(name="flat")(first(plane)))
    odd = layers.Dense(1, name="last")(
        layers.Flatten(name="flat")(layers.Activation("tanh", name="extra")(first(plane)))
    )
    of_float, of_int8 = keras.Model(plane, {"logit": kept}), keras.Model(plane, {"logit": odd})
    of_int8.get_layer("last").set_weights(of_float.get_layer("last").get_weights())
    found = fidelity.measure(
        tflite_converter.float32(of_float), tflite_converter.int8(of_int8, planes), planes, layers=["extra"]
    )
    assert [(left.layer, left.operator, left.shape) for left in found.unmatched] == [
        ("first_1", "CONV_2D", (1, 14, 14, 4)),
        ("extra", "TANH", (1, 14, 14, 4)),
    ]
    # Its error is not lost: the layer behind it answers for it.
    assert found.layers[0].layer == "flat_1"
    assert found.layers[0].own_snr_db is not None
    assert found.layers[0].own_snr_db < INT8_FLOOR_DB


def test_planes_are_chosen_by_seed(float_raw: bytes, ptq_raw: bytes, planes: np.ndarray) -> None:
    one, again, other = (fidelity.measure(float_raw, ptq_raw, planes, count=3, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert (one.planes, one.seed) == (3, 1)
    assert one.layers != other.layers


def test_result_survives_json(float_raw: bytes, ptq_raw: bytes, planes: np.ndarray) -> None:
    found = fidelity.measure(float_raw, ptq_raw, planes, count=2)
    assert msgspec.json.decode(msgspec.json.encode(found), type=fidelity.Fidelity) == found


def test_two_inputs_are_given_by_name() -> None:
    near, far = keras.Input((8, 8, 1), name="near"), keras.Input((8, 8, 1), name="far")
    x = layers.Concatenate(name="both")([near, far])
    model = keras.Model([near, far], {"logit": layers.Conv2D(2, 3, activation="relu", name="c")(x)}, name="pair")
    of_float, of_int8 = two_input_files(model)
    rng = np.random.default_rng(2)
    stacks = {name: rng.integers(0, 256, (4, 8, 8)).astype(np.uint8) for name in ("near", "far")}
    found = fidelity.measure(of_float, of_int8, stacks)
    assert found.unmatched == ()
    assert {error.layer for error in found.layers} >= {"near", "far", "logit"}
    with pytest.raises(
        ValueError, match=r"^planes: expected an array for each of the inputs \['far', 'near'\], got one array$"
    ):
        fidelity.measure(of_float, of_int8, stacks["near"])


def two_input_files(model: keras.Model) -> tuple[bytes, bytes]:
    import tensorflow as tf

    rng = np.random.default_rng(1)
    files = []
    for is_int8 in (False, True):
        single = keras.models.clone_model(
            model, input_tensors=[keras.Input(batch_shape=(1, 8, 8, 1), name=one.name) for one in model.inputs]
        )
        single.set_weights(model.get_weights())
        converter = tf.lite.TFLiteConverter.from_keras_model(single)
        if is_int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            samples = [rng.integers(0, 256, (1, 8, 8, 1)).astype(np.float32) for _ in range(8)]
            converter.representative_dataset = lambda samples=samples: iter([[one, one] for one in samples])
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        files.append(tflite_converter._run(converter, model.name))
    return files[0], files[1]


REFUSED: dict[str, tuple[Any, str]] = {
    "none": (np.zeros((0, SIDE, SIDE), np.uint8), "planes: expected as many for each input, at least one, got [0]"),
    "another size": (
        np.zeros((3, SIDE, 8), np.uint8),
        "planes: expected (N, 16, 16, 1) for 'plane', got (3, 16, 8)",
    ),
    "another name": (
        {"scan": np.zeros((3, SIDE, SIDE), np.uint8)},
        "planes: expected an array for each of the inputs ['plane'], got ['scan']",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_planes_that_do_not_fit_are_refused(name: str, float_raw: bytes, ptq_raw: bytes) -> None:
    given, message = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        fidelity.measure(float_raw, ptq_raw, given)
    assert str(caught.value) == message


def test_float_values_that_are_not_finite_are_refused(
    screening: keras.Model, ptq_raw: bytes, planes: np.ndarray
) -> None:
    broken = keras.models.clone_model(screening)
    broken.set_weights([np.full_like(weight, np.nan) for weight in screening.get_weights()])
    raw = tflite_converter.float32(broken)
    with pytest.raises(ConversionError) as caught:
        fidelity.measure(raw, ptq_raw, planes)
    assert str(caught.value).startswith("layer errors: ")
    assert str(caught.value).endswith(": expected finite values of the float model, got NaN or infinity; train it anew")


def test_files_of_different_models_are_refused(ptq_raw: bytes, planes: np.ndarray) -> None:
    plane = keras.Input((SIDE, SIDE, 3), name="colour")
    other = tflite_converter.float32(keras.Model(plane, {"mask": layers.Conv2D(1, 1)(plane)}))
    with pytest.raises(ConversionError) as caught:
        fidelity.measure(other, ptq_raw, planes)
    assert str(caught.value) == (
        "layer errors: no tensor of the int8 file is known in the float file; convert both from one model"
    )


def test_damaged_file_is_refused(float_raw: bytes, planes: np.ndarray) -> None:
    with pytest.raises(ConversionError, match=r"^int8.tflite: expected a TFLite file"):
        fidelity.measure(float_raw, b"not a model", planes)


def test_file_that_litert_cannot_run_is_refused(float_raw: bytes, ptq_raw: bytes, planes: np.ndarray) -> None:
    model = tflite.read(ptq_raw, source="int8.tflite")
    # A kernel of another shape, as bytes: every dimension of the last layer's kernel is one more.
    kernel = model.tensors[model.operators[-1].inputs[1]]
    shape = np.array(kernel.shape, "<i4").tobytes()
    raw = ptq_raw.replace(shape, np.array([3, 13], "<i4").tobytes())
    with pytest.raises(InferenceError, match=r"^layer errors: expected a TFLite model LiteRT can run: "):
        fidelity.measure(float_raw, raw, planes)
