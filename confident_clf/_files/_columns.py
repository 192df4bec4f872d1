# SPDX-License-Identifier: BSD-3-Clause
"""Check a ColumnTransformer, and compute what a file does not say about it."""

from collections import UserList
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

_WORDS = ("drop", "passthrough")
# In all transformers of a file: a slice names many columns in a few characters.
MAX_COLUMNS = 10**6


def plain_columns(columns: Any) -> Any:
    """Return columns as an int, a string, a slice, or a list of Python's values."""
    if isinstance(columns, str | slice) or callable(columns):
        return columns
    if isinstance(columns, Integral):
        return int(columns)
    # scikit-learn 1.6 warns when somebody reads its list of remaining columns.
    columns = columns.data if isinstance(columns, UserList) else columns
    return [c.item() if isinstance(c, np.generic) else c for c in columns]


def is_selector(columns: Any) -> bool:
    """Return whether columns are chosen by dtype alone, which a file can hold."""
    return type(columns) is make_column_selector and columns.pattern is None


def columns_to_keep(step: ColumnTransformer) -> list:
    """Return the columns of every transformer; a function's are those that it chose."""
    chosen = getattr(step, "_columns", None)
    return [
        chosen[i]
        if callable(columns) and not is_selector(columns) and chosen is not None
        else columns
        for i, (_, _, columns) in enumerate(step.transformers)
    ]


def problems_of_columns(step: ColumnTransformer, fitted: bool) -> Iterator[str]:
    """Yield what is wrong with a ColumnTransformer."""
    if type(step.verbose_feature_names_out) is not bool:
        yield "verbose_feature_names_out is not True or False. Use one of them"
    weights = step.transformer_weights
    if weights is not None and not _are_weights(weights):
        yield "transformer_weights is not a dict of numbers"
    yield from _unfitted(step)
    if fitted:
        yield from _fitted(step)


def _unfitted(step: ColumnTransformer) -> Iterator[str]:
    """Check names, transformers and columns, as they were given."""
    names = [name for name, _, _ in step.transformers]
    if not all(type(name) is str for name in names) or len(set(names)) < len(names):
        yield "its transformers do not have different names"
    if "remainder" in names:
        yield "a transformer is called 'remainder'. Give it another name"
    for each in (*(each for _, each, _ in step.transformers), step.remainder):
        if each not in _WORDS if isinstance(each, str) else not _transforms(each):
            yield f"{str(each)[:50]!r} is not a transformer"
    for name, columns in zip(names, columns_to_keep(step), strict=True):
        if callable(columns) and not is_selector(columns):
            yield (
                f"the columns of {name!r} are chosen by a function. List their names, "
                "or use make_column_selector with dtypes alone"
            )
        if not callable(columns) and not _are_columns(plain_columns(columns)):
            yield (
                f"the columns of {name!r} are not a name, a number, a slice, or a list "
                "of names, numbers or True and False. List their names"
            )


def _fitted(step: ColumnTransformer) -> Iterator[str]:
    """Check what was learned against what was given."""
    found: Any = getattr(step, "transformers_", None)
    if type(found) is not list or type(getattr(step, "n_features_in_", 0)) is not int:
        yield "it lacks transformers_"
    names, given = [name for name, _, _ in found], [n for n, _, _ in step.transformers]
    if names not in (given, [*given, "remainder"]):
        yield "transformers_ does not fit transformers"
    try:
        indices = indices_by_name(step)
    except (IndexError, KeyError, TypeError, ValueError):
        yield "transformers_ has columns that do not exist"
    if count_columns(step) > MAX_COLUMNS:
        yield f"it has more than {MAX_COLUMNS} columns"
    plain = {name: list(its) for name, its in indices.items()}
    if plain != getattr(step, "_transformer_to_input_indices", plain):
        yield "its columns are not the columns of its fit. Fit it again"
    if _has_twins(step):
        yield "one fitted transformer works for several others. Fit a copy of it"
    for name, each, columns in found:
        yield from _one_fitted(name, each, columns, indices[name])
    yield from _output(step)


def _one_fitted(name: str, each: Any, columns: Any, indices: Sequence) -> Iterator[str]:
    """Check one fitted transformer; without columns it was not fitted."""
    if not _are_columns(plain_columns(columns)):
        yield f"the columns of {name!r} are not columns"
    if each == "drop" or is_empty(columns):
        if not _transforms(each) and each not in _WORDS:
            yield f"{name!r} is not a transformer"
        return
    if not _transforms(each):
        yield f"{name!r} is not a fitted transformer"
    check_is_fitted(each)
    if getattr(each, "n_features_in_", len(indices)) != len(indices):
        yield f"{name!r} was fitted on another number of columns"


def _active(step: ColumnTransformer) -> list[tuple[str, Any]]:
    """Return the fitted transformers that have a part in the output, with names."""
    return [
        (name, each)
        for name, each, columns in step.transformers_
        if each != "drop" and not is_empty(columns)
    ]


def _has_twins(step: ColumnTransformer) -> bool:
    """Return whether one object transforms in several places.

    With a few such objects inside of each other, a small file would have an output of
    any number of columns.
    """
    numbers = [id(part) for part in _parts(step)]
    return len(set(numbers)) < len(numbers)


def _parts(value: Any) -> Iterator[Any]:
    """Yield all objects that transform inside of another one."""
    if isinstance(value, ColumnTransformer):
        inside = [each for _, each in _active(value)]
    elif isinstance(value, Pipeline):
        inside = [each for _, each in value.steps]
    elif isinstance(value, FrozenEstimator):
        inside = [value.estimator]
    else:
        inside = []
    for each in inside:
        if each is not None and not isinstance(each, str):
            yield each
            yield from _parts(each)


def _output(step: ColumnTransformer) -> Iterator[str]:
    """Check which columns of the output belong to which transformer."""
    active = [name for name, _ in _active(step)]
    if not active:
        return  # scikit-learn learns nothing more then
    if not isinstance(getattr(step, "sparse_output_", None), bool | np.bool_):
        yield "sparse_output_ is not True or False"
    slices: Any = getattr(step, "output_indices_", None)
    names = {name for name, _, _ in step.transformers} | {"remainder"}
    if type(slices) is not dict or set(slices) != names:
        yield "output_indices_ does not fit transformers_"
    end = 0
    for name in active:
        one = slices[name]
        if type(one) is not slice or one.start != end or type(one.stop) is not int:
            yield "output_indices_ has a gap"
        end = one.stop
        if not one.start <= end < 2**31:
            yield "output_indices_ is out of range"
    if any(slices[name] != slice(0, 0) for name in names - set(active)):
        yield "output_indices_ has columns of nothing"


def restore_columns(step: ColumnTransformer) -> None:
    """Set what a file does not hold, because transformers_ determines it."""
    step._transformer_to_input_indices = {
        name: list(indices) for name, indices in indices_by_name(step).items()
    }
    given = len(step.transformers)
    step._columns = [columns for _, _, columns in step.transformers_[:given]]
    rest = [columns for _, _, columns in step.transformers_[given:]]
    step._remainder = ("remainder", step.remainder, rest[0] if rest else [])


def count_columns(step: ColumnTransformer) -> int:
    """Return how many columns go into the fitted transformers."""
    return sum(map(len, indices_by_name(step).values()))


def indices_by_name(step: ColumnTransformer) -> dict[str, Sequence[int]]:
    """Return the numbers of the columns of every fitted transformer."""
    names = getattr(step, "feature_names_in_", ())
    number_of = {name: i for i, name in enumerate(names)}
    return {"remainder": []} | {
        name: _indices(plain_columns(columns), number_of, step.n_features_in_)
        for name, _, columns in step.transformers_
    }


def _indices(columns: Any, number_of: dict[str, int], n: int) -> Sequence[int]:
    """Return the numbers of columns; raise an error if one does not exist."""
    if isinstance(columns, slice):
        start, stop = columns.start, columns.stop
        start = number_of[start] if isinstance(start, str) else start
        stop = number_of[stop] + 1 if isinstance(stop, str) else stop
        return range(n)[start : stop : columns.step]
    columns = columns if isinstance(columns, list) else [columns]
    if columns and all(type(column) is bool for column in columns):
        return [i for i, is_one in zip(range(n), columns, strict=True) if is_one]
    return [
        number_of[column] if isinstance(column, str) else range(n)[column]
        for column in columns
    ]


def is_empty(columns: Any) -> bool:
    """Return whether columns are an empty list, or a mask without True."""
    columns = plain_columns(columns)
    if not isinstance(columns, list):
        return False
    return not columns or all(column is False for column in columns)


def _are_columns(columns: Any) -> bool:
    """Return whether these are names, numbers or masks of columns."""
    if isinstance(columns, slice):
        ends = (columns.start, columns.stop, columns.step)
        kinds = {type(end) for end in ends if end is not None}
        return kinds <= {int} or (kinds == {str} and columns.step is None)
    if isinstance(columns, list):
        return {type(column) for column in columns} in ({int}, {str}, {bool}, set())
    return type(columns) in (int, str)


def _transforms(value: Any) -> bool:
    """Return whether a value is an object that transforms."""
    return hasattr(value, "get_params") and hasattr(value, "transform")


def _are_weights(weights: Any) -> bool:
    """Return whether these are the weights of transformers."""
    return type(weights) is dict and all(
        isinstance(name, str) and isinstance(weight, Real)
        for name, weight in weights.items()
    )
