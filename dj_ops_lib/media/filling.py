"""Filling strokes, such as those of a watermark, from the pixels around them.

A pixel becomes the mean of the known ones near it, weighted by a Gaussian: the
picture without the strokes is blurred, and divided by the blur of where it is
known. Strokes are a mask of cells, written as text so that it can be part of an
edit. Not here: where the strokes are (`video_remove_watermark_mapper`).

Source: H. Knutsson and C.-F. Westin, "Normalized and Differential Convolution",
CVPR 1993.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dj_ops_lib.media.branching import Branching, Output

Mask = npt.NDArray[np.bool_]

LARGEST_MASK = 16_384
"""Cells of a mask; larger regions have larger cells, so that an edit stays below 5 kB."""

OUTLINE_PX = 2
"""Without a mask, what is not filled along the edges."""

_WORD = 48
"""Cells that one number of a filter's expression holds; a double is exact up to 53 bits."""


def mask_text(filled: Mask) -> str:
    """A mask as text: pixels of a cell's edge, then a row of hexadecimal digits for each row.

    Args:
        filled: (height, width). A cell is filled if any of its pixels is.
    """
    height, width = filled.shape
    cell = 2
    while -(-height // cell) * -(-width // cell) > LARGEST_MASK:
        cell *= 2
    padded = np.pad(filled, ((0, -height % cell), (0, -width % cell)))
    rows, columns = padded.shape[0] // cell, padded.shape[1] // cell
    cells = padded.reshape(rows, cell, columns, cell).any(axis=(1, 3))
    packed = np.packbits(cells, axis=1)
    return f"{cell}:" + ",".join(row.tobytes().hex() for row in packed)


def add_filling(
    nodes: Branching, part: Output, size: tuple[int, int], mask: str | None, sigma: float
) -> Output:
    """Fill a part of a picture.

    Args:
        nodes: The graph that the filters are added to.
        part: The part.
        size: (width, height) of the part in pixels.
        mask: What `mask_text` gave; None fills all but an outline.
        sigma: Of the Gaussian, in pixels.

    Raises:
        ValueError: The mask cannot be read.
    """
    below, copy = nodes.split(part)
    picture, first = nodes.split(_as_444(nodes, copy))
    # The mask is drawn once: where one of two inputs ends, FFmpeg goes on with its last picture.
    still = nodes.add("trim", first, end_frame="1")
    drawn = nodes.add("format", _drawn(nodes, still, size, mask), pix_fmts="yuv444p")
    strokes, other = nodes.split(drawn)
    unknown = nodes.add("extractplanes", other, planes="y")
    known = nodes.add("alphamerge", picture, nodes.add("negate", unknown))
    weighted = nodes.add("premultiply", known, inplace="1")
    # In the middle of a stroke little is known: with 8 bits it would show steps.
    fine = nodes.add("format", weighted, pix_fmts="yuva444p16le")
    blurred = nodes.add("gblur", fine, sigma=f"{sigma:g}", steps="2")
    whole = nodes.add("unpremultiply", blurred, inplace="1")
    filled = nodes.add("format", whole, pix_fmts="yuva444p")
    layers = (nodes.add("scale", layer) for layer in (filled, strokes))
    return nodes.add("maskedmerge", below, *layers)


def _as_444(nodes: Branching, source: Output) -> Output:
    """Full colour resolution, behind a `scale`: without it all that came before gets it, too."""
    return nodes.add("format", nodes.add("scale", source), pix_fmts="yuv444p")


def _drawn(nodes: Branching, still: Output, size: tuple[int, int], mask: str | None) -> Output:
    """One picture of the size, all its planes 255 where it is to be filled, else 0."""
    width, height = size
    if mask is None:
        inside = (f"between({axis},{OUTLINE_PX},{edge}-1-{OUTLINE_PX})"
                  for axis, edge in (("X", "W"), ("Y", "H")))  # fmt: skip
        return _three_planes(nodes, still, "255*" + "*".join(inside))
    cell, cells = _parse(mask)
    rows, columns = cells.shape
    if not (rows - 1) * cell < height <= rows * cell or columns * cell < width:
        raise ValueError(f"a mask of {columns}x{rows} cells of {cell} does not fit {size}")
    small = nodes.add("scale", still, w=str(columns), h=str(rows))
    drawn = _three_planes(nodes, small, _expression(cells))
    large = nodes.add("scale", drawn, w=str(columns * cell), h=str(rows * cell), flags="neighbor")
    return nodes.add("crop", large, w=str(width), h=str(height), x="0", y="0", exact="1")


def _three_planes(nodes: Branching, source: Output, expression: str) -> Output:
    drawn = nodes.add("geq", _as_444(nodes, source), lum=expression, cb="0", cr="0")
    return nodes.add("shuffleplanes", drawn, map0="0", map1="0", map2="0")


def _parse(mask: str) -> tuple[int, Mask]:
    try:
        cell, text = mask.split(":")
        rows = [np.frombuffer(bytes.fromhex(row), np.uint8) for row in text.split(",")]
        cells = np.unpackbits(np.stack(rows), axis=1).astype(bool)
        return int(cell), cells
    except ValueError as error:
        raise ValueError(f"a mask that cannot be read: {error}") from None


def _expression(cells: Mask) -> str:
    """An expression in X and Y that is 255 in the cells that are set.

    The cells of a row are bits of a number or more; the sum picks the row's number.
    """
    rows, columns = cells.shape
    padded = np.pad(cells, ((0, 0), (0, -columns % _WORD)))
    terms = []
    for row in range(rows):
        for word, bits in enumerate(padded[row].reshape(-1, _WORD)):
            if bits.any():
                number = int("".join("01"[bit] for bit in bits.astype(int)), 2)
                terms.append(f"eq(Y,{row})*eq(floor(X/{_WORD}),{word})*{number}")
    return f"255*mod(floor({_sum(terms)}/pow(2,{_WORD - 1}-mod(X,{_WORD}))),2)"


def _sum(terms: list[str]) -> str:
    """The terms' sum as a balanced tree: FFmpeg refuses expressions deeper than 100."""
    if len(terms) < 2:
        return terms[0] if terms else "0"
    half = len(terms) // 2
    return f"({_sum(terms[:half])}+{_sum(terms[half:])})"
