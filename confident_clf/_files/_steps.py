# SPDX-License-Identifier: BSD-3-Clause
"""Check the steps of scikit-learn that prepare tables and text.

These steps use learned numbers as indices, and some of that happens in compiled code
that does not check them. So a file holds a step only if its numbers fit together.
`save` and `load` ask the same question.
"""

from collections.abc import Iterator
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import (
    CountVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.impute import MissingIndicator
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
)

from confident_clf._files._columns import problems_of_columns

# Functions of one number. FunctionTransformer may call these, and no others.
UFUNCS = {
    name: getattr(np, name)
    for name in (
        *("absolute", "arccos", "arcsin", "arcsinh", "arctan", "cbrt", "ceil", "cos"),
        *("cosh", "deg2rad", "exp", "exp2", "expm1", "fabs", "floor", "isfinite"),
        *("isnan", "log", "log10", "log1p", "log2", "negative", "rad2deg"),
        *("reciprocal", "rint", "sign", "sin", "sinh", "sqrt", "square", "tan"),
        *("tanh", "trunc"),
    )
}
# Each of these is read once from left to right: no text can make them slow.
_PATTERNS = (
    *(r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\b\w\w+\b", r"\b\w+\b", r"(?u)\w+"),
    *(r"\w+", r"\S+", r"[^\s]+", r"[a-z]+", r"[a-zA-Z]+", r"[A-Za-z]+"),
)
_ENCODINGS = ("utf-8", "utf8", "ascii", "latin-1", "latin1", "iso-8859-1", "cp1252")
_MAX_NGRAM = 20
_MAX_FEATURES = 2**24
_TEXT_DTYPES = ("float32", "float64", "int64")
_DTYPES = (
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
)
# What scikit-learn computes again, or what `restore` computes.
DERIVED = (
    "_columns",
    "_metadata_request",
    "_remainder",
    "_stop_words_id",
    "_transformer_to_input_indices",
    "_transformers_feature_names_out",
)
_ANY_STEP = {"feature_names_in_", "n_features_in_", "_sklearn_output_config"}


def problem_of(step: BaseEstimator) -> str | None:
    """Return why a file cannot hold a step, or None if it can."""
    if type(step) not in _CHECKS:
        return None
    learned, check = _CHECKS[type(step)]
    problems = _problems(step, learned, check)
    return next((f"{type(step).__name__}: {problem}" for problem in problems), None)


def _problems(step: BaseEstimator, learned: set, check: Any) -> Iterator[str]:
    """Yield what is wrong; nothing after the first problem may be relied on."""
    found = set(vars(step)) - set(step.get_params(deep=False)) - set(DERIVED)
    unknown = found - learned - _ANY_STEP
    if unknown:
        yield f"the attribute {min(unknown)[:50]!r} is not one that files hold"
    yield from _names(step)
    yield from check(step, bool(found & (learned | {"n_features_in_"})))


def _names(step: BaseEstimator) -> Iterator[str]:
    """Check how many features there are, what they are called, and the output."""
    n = getattr(step, "n_features_in_", 0)
    if type(n) is not int or not 0 <= n <= _MAX_FEATURES:
        yield "n_features_in_ is not a number of features"
    names = getattr(step, "feature_names_in_", None)
    if names is not None and not (_is_vector(names, "O") and len(names) == n):
        yield "feature_names_in_ does not fit n_features_in_"
    if names is not None and not all(isinstance(name, str) for name in names):
        yield "feature_names_in_ has names that are not strings"
    config = getattr(step, "_sklearn_output_config", {})
    if type(config) is not dict or set(config) - {"transform"}:
        yield "the container of its output is unknown"
    if config.get("transform") not in (None, "default", "pandas", "polars"):
        yield "the container of its output is unknown"


def _is_vector(value: Any, kinds: str) -> bool:
    """Return whether a value is a 1-D array of one of these kinds of numbers."""
    is_array = type(value) is np.ndarray
    return is_array and value.ndim == 1 and value.dtype.kind in kinds


def _is_index(value: Any, n: int) -> bool:
    """Return whether a value is an int from 0 to n - 1."""
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    return is_int and 0 <= value < n


def _has_dtype(value: Any, names: tuple) -> bool:
    """Return whether a parameter names one of these dtypes, in any of three ways."""
    if isinstance(value, str):
        return value in names
    known = [np.dtype(name) for name in names]
    return isinstance(value, type | np.dtype) and any(
        value is dtype.type or value == dtype for dtype in known
    )


def _is_nan(value: Any) -> bool:
    """Return whether a value is a number that is not a number."""
    return isinstance(value, Real) and bool(value != value)


def _encoder(step: BaseEstimator, fitted: bool) -> Iterator[str]:
    """Check what one-hot and ordinal encoders have in common."""
    if not _has_dtype(step.dtype, _DTYPES):
        yield "dtype is not a dtype of numbers. Use one, such as numpy.float64"
    if not fitted:
        return
    categories: Any = getattr(step, "categories_", None)
    if type(categories) is not list or not categories:
        yield "categories_ is not a list of arrays"
    if len(categories) != getattr(step, "n_features_in_", None):
        yield "categories_ does not have one array for each feature"
    for i, values in enumerate(categories):
        if not _are_categories(values):
            yield (
                f"the categories of column {i} are not different strings, or sorted "
                "numbers, with missing values last. Encode strings, or sort the numbers"
            )
    yield from _infrequent(step, categories)


def _are_categories(values: Any) -> bool:
    """Return whether an array holds categories of one column.

    A search in numbers that are not sorted finds places outside of the array.
    """
    if not _is_vector(values, "biufUO") or not len(values):
        return False
    if values.dtype.kind != "O":
        known = (
            values[:-1] if values.dtype.kind == "f" and _is_nan(values[-1]) else values
        )
        return bool((known[1:] > known[:-1]).all())
    known = list(values)
    if _is_nan(known[-1]):
        known.pop()
    if known and known[-1] is None:
        known.pop()
    if all(isinstance(value, str) for value in known):
        return len(set(known)) == len(known)
    are_numbers = all(isinstance(value, Real) for value in known)
    return are_numbers and all(a < b for a, b in pairwise(known))


def _infrequent(step: BaseEstimator, categories: list) -> Iterator[str]:
    """Check which categories are grouped, and the code of every category."""
    enabled = getattr(step, "_infrequent_enabled", None)
    if type(enabled) is not bool:
        yield "_infrequent_enabled is not True or False"
    grouped: Any = getattr(step, "_infrequent_indices", None)
    codes: Any = getattr(step, "_default_to_infrequent_mappings", None)
    if not enabled:
        if grouped is not None or codes is not None:
            yield "it has infrequent categories that it does not use"
        return
    for each in (grouped, codes):
        if type(each) is not list or len(each) != len(categories):
            yield "its infrequent categories do not fit its columns"
    for values, indices, mapping in zip(categories, grouped, codes, strict=True):
        n = len(values) - _has_own_code(step, values)
        if indices is None and mapping is None:
            continue
        if not _is_vector(indices, "iu") or not len(indices) or indices.min() < 0:
            yield "_infrequent_indices are not indices"
        if indices.max() >= n or (np.diff(indices.astype(np.int64)) <= 0).any():
            yield "_infrequent_indices are out of range or not sorted"
        if not _is_vector(mapping, "i") or not np.array_equal(
            mapping, _codes(n, indices)
        ):
            yield "_default_to_infrequent_mappings does not fit _infrequent_indices"


def _has_own_code(step: BaseEstimator, values: np.ndarray) -> bool:
    """Return whether missing values are not grouped: only ordinal encoders do that."""
    return isinstance(step, OrdinalEncoder) and _is_nan(values[-1])


def _codes(n: int, infrequent: np.ndarray) -> np.ndarray:
    """Return the code of each category: frequent ones in order, then all others."""
    frequent = np.ones(n, dtype=bool)
    frequent[infrequent] = False
    return np.where(frequent, np.cumsum(frequent) - 1, frequent.sum())


def _one_hot(step: OneHotEncoder, fitted: bool) -> Iterator[str]:
    """Check a one-hot encoder."""
    if step.feature_name_combiner != "concat":
        yield "feature_name_combiner is a function. Use 'concat'"
    yield from _encoder(step, fitted)
    if not fitted:
        return
    grouped = getattr(step, "_infrequent_indices", [None] * len(step.categories_))
    sizes = [len(values) for values in step.categories_]
    outs = [
        n if indices is None else n - len(indices) + 1
        for n, indices in zip(sizes, grouped, strict=True)
    ]
    for name, limits in (("drop_idx_", sizes), ("_drop_idx_after_grouping", outs)):
        dropped = getattr(step, name, ())
        if dropped is None:
            continue
        if not _is_vector(dropped, "O") or len(dropped) != len(sizes):
            yield f"{name} does not fit its columns"
        pairs = list(zip(dropped, limits, strict=True))
        if not all(index is None or _is_index(index, n) for index, n in pairs):
            yield f"{name} has an index that is out of range"
    if (step.drop_idx_ is None) != (step._drop_idx_after_grouping is None):
        yield "drop_idx_ does not fit _drop_idx_after_grouping"
    if step._drop_idx_after_grouping is not None:
        kept = [index is None for index in step._drop_idx_after_grouping]
        outs = [n - 1 + keep for n, keep in zip(outs, kept, strict=True)]
    if getattr(step, "_n_features_outs", None) != outs:
        yield "_n_features_outs does not fit categories_"


def _ordinal(step: OrdinalEncoder, fitted: bool) -> Iterator[str]:
    """Check an ordinal encoder."""
    yield from _encoder(step, fitted)
    if not fitted:
        return
    missing = {
        i: len(values) - 1
        for i, values in enumerate(step.categories_)
        if _is_nan(values[-1])
    }
    if getattr(step, "_missing_indices", None) != missing:
        yield "_missing_indices does not fit categories_"


def _text(step: CountVectorizer, fitted: bool) -> Iterator[str]:
    """Check what counts words or letters."""
    for name in ("analyzer", "preprocessor", "strip_accents", "tokenizer"):
        if callable(getattr(step, name)):
            yield (
                f"{name} is a function. Change the texts before the pipeline, or use "
                "joblib.dump"
            )
    if step.input != "content":
        yield "input is not 'content'. Read the files before the pipeline"
    if step.encoding not in _ENCODINGS:
        yield f"encoding is {step.encoding[:50]!r}. Decode the texts before"
    pattern = step.token_pattern
    if pattern not in (_PATTERNS if step.analyzer == "word" else (*_PATTERNS, None)):
        yield (
            f"token_pattern is {str(pattern)[:50]!r}, and other patterns than the "
            f"usual ones can be slow on purpose. Use one of {', '.join(_PATTERNS)}"
        )
    yield from _ngrams(step.ngram_range)
    if not _has_dtype(step.dtype, _TEXT_DTYPES):
        yield f"dtype is not one of {', '.join(_TEXT_DTYPES)}. Use one of them"
    if isinstance(step.stop_words, list) and not _are_strings(step.stop_words):
        yield "stop_words has words that are not strings"
    if not _is_vocabulary(step.vocabulary):
        yield "vocabulary is not a list or a dict. Pass a list of terms"
    if not fitted:
        return
    terms: Any = getattr(step, "vocabulary_", None)
    if type(terms) is not dict or not terms or not _are_strings(terms):
        yield "vocabulary_ does not have terms that are strings"
    if sorted(terms.values()) != list(range(len(terms))):
        yield "vocabulary_ does not number its terms"
    if type(getattr(step, "fixed_vocabulary_", None)) is not bool:
        yield "fixed_vocabulary_ is not True or False"


def _ngrams(ngram_range: Any) -> Iterator[str]:
    """Check the lengths of n-grams: a text has many long ones, and they are long."""
    is_pair = type(ngram_range) is tuple and len(ngram_range) == 2
    if not is_pair or not all(type(n) is int for n in ngram_range):
        yield "ngram_range is not a tuple of two numbers"
    if not 1 <= ngram_range[0] <= ngram_range[1] <= _MAX_NGRAM:
        yield f"ngram_range is not in 1 to {_MAX_NGRAM}. Use shorter n-grams"


def _are_strings(values: Any) -> bool:
    """Return whether all values are strings."""
    return all(isinstance(value, str) for value in values)


def _is_vocabulary(value: Any) -> bool:
    """Return whether a parameter is a list of terms, or numbers them, or is None."""
    if type(value) is dict:
        return _are_strings(value) and all(map(_is_int, value.values()))
    return value is None or (type(value) in (list, np.ndarray) and _are_strings(value))


def _is_int(value: Any) -> bool:
    """Return whether a value is an int of Python or NumPy."""
    return isinstance(value, Integral)


def _tfidf(step: TfidfVectorizer, fitted: bool) -> Iterator[str]:
    """Check what counts and weights words."""
    yield from _text(step, fitted)
    if not fitted:
        return
    weights = getattr(step, "_tfidf", None)
    if type(weights) is not TfidfTransformer:
        yield "it lacks its weights"
    if getattr(weights, "n_features_in_", None) != len(step.vocabulary_):
        yield "its weights do not fit vocabulary_"


def _idf(step: TfidfTransformer, fitted: bool) -> Iterator[str]:
    """Check the weights of terms."""
    if fitted and (step.use_idf or hasattr(step, "idf_")):
        idf: Any = getattr(step, "idf_", None)
        n_terms = getattr(step, "n_features_in_", None)
        if not _is_vector(idf, "f") or len(idf) != n_terms:
            yield "idf_ does not have one weight for each term"


def _function(step: FunctionTransformer, _: bool) -> Iterator[str]:
    """Check that a transformer calls nothing but functions from the table."""
    for name in ("func", "inverse_func"):
        function = getattr(step, name)
        if function is not None and not is_ufunc(function):
            yield (
                f"{name} is not None or one of these functions of NumPy: "
                f"{', '.join(UFUNCS)}. Use one of them, or apply your function before "
                "the pipeline"
            )
    if step.kw_args or step.inv_kw_args:
        yield "kw_args and inv_kw_args must be empty. Remove them"
    if step.feature_names_out not in (None, "one-to-one"):
        yield "feature_names_out is a function. Use 'one-to-one' or None"


def is_ufunc(value: Any) -> bool:
    """Return whether a value is one of the functions that a file can name."""
    return isinstance(value, np.ufunc) and UFUNCS.get(value.__name__) is value


def _svd(step: TruncatedSVD, fitted: bool) -> Iterator[str]:
    """Check the components."""
    if not fitted:
        return
    components: Any = getattr(step, "components_", None)
    is_matrix = type(components) is np.ndarray and components.ndim == 2
    if not is_matrix or components.dtype.kind != "f":
        yield "components_ is not a matrix"
    if not len(components) or components.shape[1] != getattr(
        step, "n_features_in_", None
    ):
        yield "components_ does not fit n_features_in_"


def _indicator(step: MissingIndicator, fitted: bool) -> Iterator[str]:
    """Check the columns that had missing values."""
    if not fitted:
        return
    columns: Any = getattr(step, "features_", None)
    n: Any = getattr(step, "_n_features", None)
    if type(n) is not int or not _is_vector(columns, "iu"):
        yield "features_ are not indices of columns"
    if not all(_is_index(column, n) for column in columns):
        yield "features_ has an index that is out of range"


_GROUPED = {
    "categories_",
    "_infrequent_enabled",
    "_infrequent_indices",
    "_default_to_infrequent_mappings",
}
_CHECKS = {
    ColumnTransformer: (
        {"transformers_", "output_indices_", "sparse_output_"},
        problems_of_columns,
    ),
    CountVectorizer: ({"vocabulary_", "fixed_vocabulary_"}, _text),
    FunctionTransformer: (set(), _function),
    MissingIndicator: ({"features_", "_n_features", "_precomputed"}, _indicator),
    OneHotEncoder: (
        _GROUPED | {"drop_idx_", "_drop_idx_after_grouping", "_n_features_outs"},
        _one_hot,
    ),
    OrdinalEncoder: (_GROUPED | {"_missing_indices"}, _ordinal),
    TfidfTransformer: ({"idf_"}, _idf),
    TfidfVectorizer: ({"vocabulary_", "fixed_vocabulary_", "_tfidf"}, _tfidf),
    TruncatedSVD: (
        {
            "components_",
            "explained_variance_",
            "explained_variance_ratio_",
            "singular_values_",
        },
        _svd,
    ),
}
