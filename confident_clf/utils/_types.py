# SPDX-License-Identifier: BSD-3-Clause
"""What public functions take, as names for type checkers and readers."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike


class Indexed(Protocol):
    """What gives samples by their numbers: a table, sparse rows, a torch Dataset."""

    def __getitem__(self, index: Any, /) -> Any: ...


SamplesLike = ArrayLike | Indexed
RandomState = int | np.random.RandomState | None
# A decorator of this type keeps the signature of what it decorates.
Function = TypeVar("Function", bound=Callable)
