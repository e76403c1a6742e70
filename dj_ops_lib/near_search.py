"""Finding near pairs among many bit strings: candidates by bands, verified by distance.

Plain arrays in, plain arrays out. Not here: what the bits mean, and which of a
pair is kept (the deduplicators).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

BAND_BITS = 12
"""Bits in a band: a byte and a half, which `_bands` counts on. A million random hashes give 244
candidates a band and query."""

PART_BITS = 64
"""Bits of a part of a hash, which says something as a whole or nothing."""

CHUNK = 4_000_000
"""Candidate pairs verified at once: 0.3 GB."""

Words = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Hashes:
    """Many hashes of equal length.

    Attributes:
        words: (n, parts), a word a part; up to eight.
        told: (n,), the parts that say anything: 1 for the first, 2, 4, ... The bits of one that
            does not are noise.
    """

    words: Words
    told: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.words)


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """Which pairs are near: only parts that say something in both are compared.

    Attributes:
        shares: Largest share of bits that differ over all parts that are compared, by how many
            parts there are to compare, none first; below 0 where that is too little to tell.
        part_share: Largest share of bits that differ in any one of them.
    """

    shares: tuple[float, ...]
    part_share: float = 1.0


def as_words(hashes: list[str]) -> Words:
    """Hashes of equal length, a multiple of 16 hex digits, as rows of 64-bit words."""
    if not hashes:
        return np.empty((0, 1), np.uint64)
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), -1)


def near_pairs(
    queries: Hashes, known: Hashes, limit: Limit
) -> tuple[Rows, Rows, npt.NDArray[np.float64]]:
    """Pairs of a query and a known hash that are near, whoever is asked about whom.

    Pairs are found if they agree in one band of 12 bits at least.

    Args:
        queries: n hashes.
        known: m hashes, of as many parts.
        limit: What is near.

    Returns:
        Row of the query, row of the known hash, share of the compared bits that differ; sorted
        by query and then by known row, each pair once.
    """
    found: list[tuple[Rows, npt.NDArray[np.float64]]] = []
    if len(queries) and len(known):
        for ours, theirs in zip(_bands(queries), _bands(known), strict=True):
            found += list(_verified(queries, known, ours, theirs, limit))
    if not found:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty(0)
    pairs, first = np.unique(
        np.concatenate([rows for rows, _ in found], axis=1), axis=1, return_index=True
    )
    return pairs[0], pairs[1], np.concatenate([shares for _, shares in found])[first]


@dataclasses.dataclass(frozen=True, slots=True)
class _Band:
    """The bits of a band, and the rows of the hashes that say something in all of it."""

    bits: npt.NDArray[np.uint16]
    rows: Rows


def _bands(hashes: Hashes) -> Iterator[_Band]:
    """The bits of each hash in groups of `BAND_BITS`, whatever the words' borders.

    Put together from bytes: unpacking the bits of a million hashes took 256 MB (2026-11-22).
    """
    octets = hashes.words.view(np.uint8)
    for start in range(0, octets.shape[1] * 8 - BAND_BITS + 1, BAND_BITS):
        parts = 1 << start // PART_BITS | 1 << (start + BAND_BITS - 1) // PART_BITS
        rows = np.flatnonzero(hashes.told & parts == parts)
        first, second = (octets[:, start // 8 + i].astype(np.uint16) for i in (0, 1))
        band = first << 4 | second >> 4 if start % 8 == 0 else (first & 15) << 8 | second
        yield _Band(band.astype(np.uint16, copy=False)[rows], rows)


def _verified(
    queries: Hashes, known: Hashes, ours: _Band, theirs: _Band, limit: Limit
) -> Iterator[tuple[Rows, npt.NDArray[np.float64]]]:
    """Pairs that agree in one band and are near: (2, k) rows of query and known, and shares."""
    order = np.argsort(theirs.bits, kind="stable")
    ordered = theirs.bits[order]
    first = np.searchsorted(ordered, ours.bits, "left")
    counts = np.searchsorted(ordered, ours.bits, "right") - first
    ends = np.cumsum(counts)
    row = 0
    while row < len(counts):
        until = int(np.searchsorted(ends, (ends[row - 1] if row else 0) + CHUNK, "right"))
        until = max(until, row + 1)
        sizes = counts[row:until]
        query = ours.rows[np.repeat(np.arange(row, until), sizes)]
        offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        match = theirs.rows[order[np.repeat(first[row:until], sizes) + offset]]
        near, shares = _compared(queries, known, query, match, limit)
        yield np.stack([query[near], match[near]]), shares
        row = until


def _compared(
    queries: Hashes, known: Hashes, query: Rows, match: Rows, limit: Limit
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Whether each pair is near; and for those that are, the share of bits that differ."""
    bits = np.bitwise_count(queries.words[query] ^ known.words[match])
    told = queries.told[query] & known.told[match]
    some = np.flatnonzero(told != (1 << bits.shape[1]) - 1)  # not all; few, as a rule
    bits[some] *= told[some, None] >> np.arange(bits.shape[1], dtype=np.uint8) & 1
    parts = np.bitwise_count(told)
    # As whole bits: a share of 0.2 of 5 bits is 1, and 0.2 * 5 need not be.
    allowed = np.array(
        [-1 if s < 0 else int(s * PART_BITS * n + 1e-9) for n, s in enumerate(limit.shares)]
    )
    differing = bits.sum(axis=1, dtype=np.int64)
    near = differing <= allowed[parts]
    near[near] = bits[near].max(axis=1) <= int(limit.part_share * PART_BITS + 1e-9)
    return near, differing[near] / (PART_BITS * parts[near].astype(np.int64))
