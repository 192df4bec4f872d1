# SPDX-License-Identifier: BSD-3-Clause
"""The vocabulary of a text step as two arrays: a header has no room for it."""

import numpy as np


def pack(vocabulary: dict[str, int]) -> list[np.ndarray]:
    """Return the bytes of all terms, in the order of their numbers, and their lengths.

    A text may have half a surrogate pair, which plain UTF-8 cannot express.
    """
    terms = sorted(vocabulary, key=vocabulary.__getitem__)
    text = "".join(terms).encode("utf-8", "surrogatepass")
    lengths = np.array([len(term) for term in terms], dtype=np.int32)
    return [np.frombuffer(text, dtype=np.uint8), lengths]


def unpack(parts: list[np.ndarray], name: str) -> dict[str, int]:
    """Return the vocabulary: terms are numbered in their order, each once."""
    encoded, lengths = parts
    if encoded.dtype != np.uint8 or lengths.dtype != np.int32 or lengths.ndim != 1:
        raise ValueError(f"{name} does not hold terms")
    text = encoded.tobytes().decode("utf-8", "surrogatepass")
    if (lengths < 0).any() or lengths.sum(dtype=np.int64) != len(text):
        raise ValueError(f"{name} has terms that do not fit their lengths")
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    terms = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    vocabulary = {term: i for i, term in enumerate(terms)}
    if len(vocabulary) < len(terms):
        raise ValueError(f"{name} has a term twice")
    return vocabulary
