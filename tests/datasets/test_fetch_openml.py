# SPDX-License-Identifier: BSD-3-Clause
"""Tests of OpenML's tables, on files of OpenML that come with scikit-learn's tests."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.datasets import fetch_openml
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier
from confident_clf.datasets import broken, fetch_openml_ood

FILES = Path(sklearn.__file__).parent / "datasets/tests/data/openml"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder where scikit-learn finds iris as if it had fetched it."""
    folder = tmp_path_factory.mktemp("data")
    copies = [
        ("data-v1-dl-61.arff.gz", "data/v1/download/61/iris.arff.gz"),
        ("data-v1-dl-61.arff.gz", "data/v1/download/61.gz"),  # scikit-learn 1.6
        ("api-v1-jd-61.json.gz", "api/v1/json/data/61.gz"),
        ("api-v1-jdf-61.json.gz", "api/v1/json/data/features/61.gz"),
        ("api-v1-jdq-61.json.gz", "api/v1/json/data/qualities/61.gz"),
    ]
    for name, place in copies:
        path = folder / "openml" / "openml.org" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FILES / "id_61" / name, path)
    return folder


def test_iris(home, offline):
    """Check rows and classes against the table as scikit-learn fetches it."""
    table = fetch_openml(data_id=61, data_home=home)
    bunch = fetch_openml_ood(
        data_id=61, unknown="Iris-virginica", data_home=home, random_state=0
    )
    rows = pd.concat([bunch.X_train, bunch.X_test])
    known = table.target != "Iris-virginica"
    pd.testing.assert_frame_equal(rows.sort_index(), table.data[known])
    labels = np.concatenate([bunch.y_train, bunch.y_test])
    assert_array_equal(labels, table.target[rows.index])
    assert list(bunch.X_ood) == ["Iris-virginica"]
    pd.testing.assert_frame_equal(bunch.X_ood["Iris-virginica"], table.data[~known])
    assert_array_equal(bunch.target_names, ["Iris-setosa", "Iris-versicolor"])
    assert bunch.feature_names == table.feature_names
    assert bunch.DESCR == table.DESCR
    assert np.bincount(bunch.y_test == "Iris-setosa").tolist() in ([12, 13], [13, 12])


def test_arrays(home, offline):
    """Check that arrays have the rows of the frames, and a seed the same split."""
    options = {"data_id": 61, "unknown": ["Iris-setosa"], "random_state": 3}
    frames = fetch_openml_ood(**options, data_home=home)
    arrays = fetch_openml_ood(
        **options, data_home=home, as_frame=False, parser="liac-arff"
    )
    assert_array_equal(arrays.X_train, frames.X_train)
    assert_array_equal(arrays.y_test, frames.y_test)
    assert isinstance(arrays.X_test, np.ndarray)


def test_classifier_and_broken_rows(home, offline):
    """Check that the table goes into a classifier, and can be broken."""
    iris = fetch_openml_ood(
        data_id=61, unknown="Iris-setosa", data_home=home, random_state=0
    )
    clf = ConfidentClassifier(max_epochs=2, ood_source=None, random_state=0)
    clf.fit(StandardScaler().fit_transform(iris.X_train), iris.y_train)
    assert_array_equal(clf.classes_, iris.target_names)
    sets = broken(iris.X_test, reference=iris.X_train, random_state=0)
    assert list(sets.X_ood["swapped"].columns) == iris.feature_names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unknown": "rose"}, "'rose', which is not a class"),
        ({"unknown": 5.1, "target_column": "sepallength"}, "numbers, not classes"),
        (
            {"unknown": 5.1, "target_column": ["sepallength", "sepalwidth"]},
            r"has 2 target columns \(sepallength, sepalwidth\)",
        ),
    ],
)
def test_tables_without_such_classes(home, offline, options, message):
    """Check the errors for classes that are not there, and for other targets."""
    with pytest.raises(ValueError, match=message):
        fetch_openml_ood(data_id=61, **options, data_home=home)


# scikit-learn warns of every attempt that fails, before the error that is checked.
@pytest.mark.filterwarnings("ignore:A network error occurred:UserWarning")
def test_offline(tmp_path, offline, monkeypatch):
    """Check that the error says which folder to copy."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    with pytest.raises(OSError, match=f"table vehicle .*copy {tmp_path}/openml from"):
        fetch_openml_ood("vehicle", unknown="van", data_home=tmp_path)
