# SPDX-License-Identifier: BSD-3-Clause
"""Any table of OpenML, with classes held out."""

from os import PathLike
from typing import Any
from urllib.error import URLError

import numpy as np
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import Bunch
from sklearn.utils.multiclass import type_of_target

from confident_clf.datasets._held_out import hold_out


def fetch_openml_ood(
    name: str | None = None,
    *,
    unknown: Any,
    data_id: int | None = None,
    version: int | str = "active",
    target_column: str = "default-target",
    as_frame: bool | str = "auto",
    parser: str = "auto",
    test_size: float | int = 0.25,
    random_state: int | np.random.RandomState | None = None,
    data_home: str | PathLike | None = None,
) -> Bunch:
    """Fetch a table of OpenML, some of its classes as unknown.

    Parameters
    ----------
    name : str, default=None
        The table's name on openml.org; or give `data_id`.
    unknown : label or sequence of labels
        Classes to hold out. At least two must remain.
    data_id : int, default=None
        The table's number on openml.org.
    version : int or "active", default="active"
        Version of the table with this name.
    target_column : str, default="default-target"
        The column of the classes.
    as_frame : bool or "auto", default="auto"
        Whether the rows are DataFrames; "auto" is True unless the table is sparse.
    parser : {"auto", "pandas", "liac-arff"}, default="auto"
        Reads the file, as in :func:`sklearn.datasets.fetch_openml`.
    test_size : float or int, default=0.25
        Share or number of the known rows to test on.
    random_state : int, RandomState instance or None, default=None
        Draws the rows to test on.
    data_home : str or path-like, default=None
        The folder of scikit-learn's data. What is there is not downloaded again.

    Returns
    -------
    Bunch
        As from :func:`load_iris_ood`, with ``DESCR``.

    See Also
    --------
    load_wine_ood : A table that needs no download.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_openml_ood
    >>> vehicle = fetch_openml_ood(  # doctest: +SKIP
    ...     "vehicle", version=1, unknown="van", random_state=0
    ... )
    >>> list(vehicle.X_ood)  # doctest: +SKIP
    ['van']
    """
    try:
        table = fetch_openml(
            name,
            version=version,
            data_id=data_id,
            data_home=data_home,
            target_column=target_column,
            as_frame=as_frame,
            parser=parser,
        )
    except URLError as error:
        folder = f"{get_data_home(data_home)}/openml"
        raise OSError(
            f"OpenML's table {name or data_id} is not complete in {folder}, and the "
            f"download failed ({error}). Fetch it once on a machine with a network, "
            f"and copy {folder} from there."
        ) from error
    y = _classes_of(table)
    X, names = table.data, np.unique(y)
    bunch = hold_out(X, y, names, unknown, test_size, random_state)
    bunch.feature_names = table.feature_names
    bunch.DESCR = table.DESCR
    return bunch


def _classes_of(table):
    """Return the labels of a table, if it has one label for each row."""
    y = np.asarray(table.target)
    columns = ", ".join(table.target_names)
    if y.ndim != 1:
        raise ValueError(
            f"The table has {len(table.target_names)} target columns ({columns}). Name "
            "one of its columns as target_column."
        )
    if type_of_target(y) not in ("binary", "multiclass"):
        raise ValueError(
            f"The column {columns} has numbers, not classes. Name a target_column."
        )
    return y
