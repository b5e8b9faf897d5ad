"""Frames from DICOM files, by pydicom and its codec plug-ins.

Rules: what the file claims is bounded before a pixel is decoded; pixels become brightness as `grayscale` defines
it, with the first VOI LUT or else the first window; colour and palettes become gray; frames come one at a time; a
message names an identifying tag, never its value. pydicom loads when the first file is decoded.

    for frame in dicom.decode(raw, source="scan.dcm"):
        ...
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemed.errors import ImageError
from edgemed.imaging import colour, dicom_tags, grayscale, intensity
from edgemed.imaging.colour import Gray
from edgemed.imaging.dicom_tags import Layout, translated
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.header import codestream_size

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder

__all__ = ["decode", "header"]

_DEFLATED = "1.2.840.10008.1.2.1.99"
_INFLATED_LIMIT_BYTES = 128 << 20
_RUN_LENGTHS = "1.2.840.10008.1.2.5"
# One codec for each transfer syntax, whatever else is installed: lossy codecs differ by grey levels.
_PLUGINS = {
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG Extended; 8 bits only
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81": "pyjpegls",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90": "gdcm",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91": "gdcm",  # JPEG 2000
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202": "pylibjpeg",  # High-Throughput JPEG 2000 Lossless, by resolution
    "1.2.840.10008.1.2.4.203": "pylibjpeg",  # High-Throughput JPEG 2000
    _RUN_LENGTHS: "pydicom",
}
_UID = re.compile(r"[0-9.]{1,64}")
_GROUP_LENGTH = b"\x02\0\0\0UL\x04\0"
# Codecs put a header before each frame; more than this beyond twice the pixels is damage or an attack.
_CODEC_HEADER_BYTES = 1 << 20
# Padding that writers leave behind the end marker of a codestream.
_TRAILING_BYTES = 64


def decode(raw: bytes, *, source: str) -> Iterator[Frame]:
    """Yield the frames of a DICOM Part 10 file.

    Gray is uint8 for 8 bits stored, else uint16 with ``bits=16``: the window, or without one the whole stored
    range, over the full range of the type. Colour and palettes are uint8 or, with 16-bit entries, uint16.
    ``modality`` is None where the file has none. ``spacing_mm`` is PixelSpacing, else ImagerPixelSpacing.

    Raises:
        ImageError: no file meta information, no pixel data, a transfer syntax without a decoder (named), cut
            short, a size past the limits, more than 16 bits, or a value that has no defined meaning.
    """
    with translated(source, "reading the data set"):
        dataset = _data_set(raw, source)
        layout = dicom_tags.layout(dataset, source=source)
        decoder = _decoder(layout, source)
        to_gray = _conversion(dataset, layout, source)
        modality = dicom_tags.modality(dataset)
        instance = dicom_tags.instance(dataset)
        spacing_mm = dicom_tags.spacing_mm(dataset)
    for index, image in enumerate(_images(dataset, layout, decoder, source)):
        gray = to_gray(image)
        yield Frame(
            pixels=gray.pixels,
            source=source,
            index=index,
            bits=8 * gray.pixels.dtype.itemsize,
            modality=modality,
            is_dicom=True,
            instance=instance,
            spacing_mm=spacing_mm,
            coloured_fraction=gray.coloured_fraction,
        )


def header(path: Path, *, source: str, keywords: Sequence[str]) -> dict[str, str]:
    """Return the data elements of a DICOM file that the keywords name, as text; absent and empty ones are left out.

    Raises:
        ImageError: the file cannot be read as DICOM; ``source`` stands for its name, which may be a patient's.
    """
    import pydicom

    # Values are not checked: pydicom's log would repeat those that break a rule.
    with translated(source, "reading the header"), pydicom.config.disable_value_validation():
        meta = pydicom.filereader.read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            dataset = _data_set(path.read_bytes(), source)
        else:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords))
        values = {keyword: str(dataset.get(keyword) or "").strip() for keyword in keywords}
    return {keyword: value for keyword, value in values.items() if value}


def _data_set(raw: bytes, source: str) -> Dataset:
    import pydicom

    if _DEFLATED.encode() not in raw:
        return pydicom.dcmread(io.BytesIO(raw))
    # pydicom inflates without a bound. Read the file meta information apart, and inflate here.
    end = _meta_end(raw)
    if end is None:
        raise ImageError(f"{source}: FileMetaInformationGroupLength: missing or wrong; export the file again")
    head = pydicom.dcmread(io.BytesIO(raw[:end]))
    if str(head.file_meta.get("TransferSyntaxUID", "")) != _DEFLATED:
        return pydicom.dcmread(io.BytesIO(raw))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(raw[end:], _INFLATED_LIMIT_BYTES)
    if not inflater.eof:
        raise ImageError(
            f"{source}: deflated data set is cut short, or longer than the {_INFLATED_LIMIT_BYTES} bytes accepted "
            "here; export it again, uncompressed"
        )
    dataset = pydicom.filereader.read_dataset(io.BytesIO(body), is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta = head.file_meta
    return dataset


def _meta_end(raw: bytes) -> int | None:
    """Return where the data set starts, by the group length; None when that is absent or ends inside the group."""
    if raw[132:140] != _GROUP_LENGTH or len(raw) < 144:
        return None
    end = int(144 + struct.unpack_from("<I", raw, 140)[0])
    return None if raw[end : end + 2] == b"\x02\0" else end


def _decoder(layout: Layout, source: str) -> Decoder:
    """Return pydicom's decoder for the transfer syntax; refuse one that has none here, by name."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(layout.transfer_syntax)
    if not uid:
        raise ImageError(f"{source}: TransferSyntaxUID is missing; export it again as a DICOM Part 10 file")
    try:
        decoder = get_decoder(uid)
    except NotImplementedError as err:
        # The name of a UID that pydicom does not know is its value.
        known = uid.name != uid or _UID.fullmatch(uid)
        raise ImageError(_no_decoder(uid.name if known else "a value that is not a UID", source)) from err
    if not decoder.is_native and _PLUGINS.get(uid) not in decoder.available_plugins:
        raise ImageError(_no_decoder(uid.name, source))
    return decoder


def _no_decoder(name: str, source: str) -> str:
    return f"{source}: TransferSyntaxUID: no decoder for {name}; export it uncompressed or as JPEG 2000"


def _images(dataset: Dataset, layout: Layout, decoder: Decoder, source: str) -> Iterator[Pixels]:
    """Yield each frame as stored; colour comes in RGB order."""
    with translated(source, "opening the pixel data"):
        plugin = _PLUGINS.get(layout.transfer_syntax, "")
        whole = decoder.is_native and layout.bits_stored == layout.bits_allocated
        arrays = decoder.iter_array(dataset, raw=False, decoding_plugin=plugin, view_only=whole)
        encoded = iter(()) if decoder.is_native else _encoded(dataset, layout)
    for index in range(layout.frames):
        with translated(source, f"decoding frame {index} of {layout.frames} ({_name(layout)})"):
            if not decoder.is_native:
                _check_encoded(next(encoded), layout, index, source)
            image, properties = next(arrays)
            if layout.samples == 3 and properties["photometric_interpretation"] != "RGB":
                raise ImageError(f"{source}: PhotometricInterpretation: no conversion to gray; export it in gray")
            if 8 * image.dtype.itemsize not in (layout.bits_allocated, layout.bits_stored):
                raise ImageError(
                    f"{source}: BitsStored: expected {layout.bits_stored} bits in the codestream, got a depth that "
                    f"decodes to {8 * image.dtype.itemsize}; the file is damaged, export it again"
                )
            native = image.astype(image.dtype.newbyteorder("="), copy=False)
        yield native


def _name(layout: Layout) -> str:
    from pydicom.uid import UID

    return UID(layout.transfer_syntax).name


def _encoded(dataset: Dataset, layout: Layout) -> Iterator[bytes]:
    from pydicom.encaps import generate_frames

    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return generate_frames(dataset.PixelData, number_of_frames=layout.frames, extended_offsets=offsets)


def _check_encoded(encoded: bytes, layout: Layout, index: int, source: str) -> None:
    """Refuse a frame that is cut short, or that makes a codec allocate more than the tags say."""
    where = f"{source}: frame {index}"
    pixel_bytes = layout.rows * layout.columns * layout.samples * layout.bits_allocated // 8
    if len(encoded) > 2 * pixel_bytes + _CODEC_HEADER_BYTES:
        raise ImageError(f"{where}: more bytes than its pixels need; the file is damaged, export it again")
    if layout.transfer_syntax == _RUN_LENGTHS:
        return
    size = codestream_size(encoded)
    # JPEG, JPEG-LS and JPEG 2000 end alike; some codecs return half a picture when the end is missing.
    if size is None or b"\xff\xd9" not in encoded[-_TRAILING_BYTES:]:
        raise ImageError(f"{where}: codestream without its size or end marker; it is cut short, export it again")
    if size != (layout.rows, layout.columns):
        raise ImageError(
            f"{where}: Rows, Columns: expected {layout.columns} x {layout.rows} pixels in the codestream, "
            f"got {size[1]} x {size[0]}; the file is damaged, export it again"
        )


def _conversion(dataset: Dataset, layout: Layout, source: str) -> Callable[[Pixels], Gray]:
    """Return the function from a stored frame to gray, with every table made once."""
    if layout.photometric == dicom_tags.PALETTE:
        return _palette(dataset, layout)
    if layout.samples == 3:
        return lambda image: colour.to_gray(image, order=colour.Order.RGB)
    table = grayscale.table(
        bits=layout.bits_stored,
        signed=layout.signed,
        modality=dicom_tags.modality_step(dataset, source=source),
        voi=dicom_tags.voi_step(dataset, source=source),
        inverted=layout.photometric == "MONOCHROME1",
    )
    whole = intensity.whole_table(table)
    return lambda image: Gray(intensity.look_up(whole, _patterns(image, layout)), 0.0)


def _palette(dataset: Dataset, layout: Layout) -> Callable[[Pixels], Gray]:
    """Send the palette through the colour conversion once; pixels then only look up."""
    from pydicom.pixels.processing import apply_color_lut

    kind: Any = np.uint8 if layout.bits_stored == 8 else np.uint16
    entries = apply_color_lut(np.arange(1 << layout.bits_stored, dtype=kind)[:, np.newaxis], dataset)
    entries = np.ascontiguousarray(entries[..., :3])
    gray = intensity.whole_table(colour.to_gray(entries, order=colour.Order.RGB).pixels.ravel())
    mask = (colour.coloured(entries) > 0).ravel()

    def convert(image: Pixels) -> Gray:
        patterns = _patterns(image, layout)
        return Gray(intensity.look_up(gray, patterns), float(np.take(mask, patterns, mode="clip").mean()))

    return convert


def _patterns(image: Pixels, layout: Layout) -> Pixels:
    """Return the stored bit patterns, without the sign extension that decoding put above them."""
    unsigned: Pixels = image.view(np.uint8) if image.dtype.itemsize == 1 else image.view(np.uint16)
    if layout.signed and layout.bits_stored < 8 * unsigned.dtype.itemsize:
        return np.bitwise_and(unsigned, np.uint16((1 << layout.bits_stored) - 1))
    return unsigned
