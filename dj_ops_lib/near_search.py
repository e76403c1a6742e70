"""Finding near pairs among many bit strings: candidates by bands, verified by distance.

Plain arrays in, plain arrays out. Not here: what the bits mean, and which of a
pair is kept (the deduplicators).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

BAND_BITS = 12
"""Bits in a band: a byte and a half, which `_bands` counts on. A million random hashes give 244
candidates a band and query."""

CHUNK = 4_000_000
"""Candidate pairs verified at once: 0.3 GB."""

Words = npt.NDArray[np.uint64]


def as_words(hashes: list[str]) -> Words:
    """Hashes of equal length, a multiple of 16 hex digits, as rows of 64-bit words."""
    if not hashes:
        return np.empty((0, 1), np.uint64)
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), -1)


def near_pairs(
    queries: Words, known: Words, largest: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of a query and a known hash that differ in at most `largest` bits.

    Pairs are found if they agree in one band of 12 bits at least.

    Args:
        queries: (n, words).
        known: (m, words).
        largest: Most bits that differ.

    Returns:
        Row of the query, row of the known hash, bits that differ; sorted by query and then by
        known row, each pair once.
    """
    found: list[npt.NDArray[np.int64]] = []
    if len(queries) and len(known):
        for ours, theirs in zip(_bands(queries), _bands(known), strict=True):
            found += list(_verified(queries, known, ours, theirs, largest))
    if not found:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    pairs = np.unique(np.concatenate(found, axis=1), axis=1)
    return pairs[0], pairs[1], pairs[2]


def _bands(words: Words) -> Iterator[npt.NDArray[np.uint16]]:
    """The bits of each hash in groups of `BAND_BITS`, whatever the words' borders.

    Put together from bytes: unpacking the bits of a million hashes took 256 MB (2026-11-22).
    """
    octets = words.view(np.uint8)
    for start in range(0, octets.shape[1] * 8 - BAND_BITS + 1, BAND_BITS):
        first, second = (octets[:, start // 8 + i].astype(np.uint16) for i in (0, 1))
        band = first << 4 | second >> 4 if start % 8 == 0 else (first & 15) << 8 | second
        yield band.astype(np.uint16, copy=False)


def _verified(
    queries: Words,
    known: Words,
    ours: npt.NDArray[np.uint16],
    theirs: npt.NDArray[np.uint16],
    largest: int,
) -> Iterator[npt.NDArray[np.int64]]:
    """Pairs that agree in one band and are near: (3, k) arrays of query, known, distance."""
    order = np.argsort(theirs, kind="stable")
    ordered = theirs[order]
    first = np.searchsorted(ordered, ours, "left")
    counts = np.searchsorted(ordered, ours, "right") - first
    ends = np.cumsum(counts)
    row = 0
    while row < len(ours):
        until = int(np.searchsorted(ends, (ends[row - 1] if row else 0) + CHUNK, "right"))
        until = max(until, row + 1)
        sizes = counts[row:until]
        query = np.repeat(np.arange(row, until), sizes)
        offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        match = order[np.repeat(first[row:until], sizes) + offset]
        distance = np.bitwise_count(queries[query] ^ known[match]).sum(axis=1, dtype=np.int64)
        near = distance <= largest
        yield np.stack([query[near], match[near], distance[near]]).astype(np.int64)
        row = until
