# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``load`` with forged steps for tables and text.

These steps use what they learned as indices. So a forged step is refused, or its
output is what some honest step could have returned: it has a limited size, and a sparse
one has no index outside of its shape.
"""

import copy
import json
import random

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from confident_clf import dumps, loads
from confident_clf._files._container import parse, to_bytes
from confident_clf._files._objects import Writer

TEXTS = ["a small red cat", "the big red dog", "big small", "cat and dog"] * 3
CODES = np.array([[1, "a"], [2, "b"], [3, np.nan], [1, "c"]] * 3, dtype=object)
NUMBERS = np.array([[1.0, 5, 2], [2, 5, 3], [np.nan, 7, 3], [1, 7, 4]] * 3)
# No column of an honest step is that wide, or that long.
MOST_COLUMNS = 100

STEPS = {
    "one-hot": (OneHotEncoder(), NUMBERS),
    "dropped": (OneHotEncoder(drop="first"), CODES),
    "grouped": (OneHotEncoder(max_categories=2, drop="if_binary"), NUMBERS),
    "ordinal": (OrdinalEncoder(max_categories=2), NUMBERS),
    "counts": (CountVectorizer(ngram_range=(1, 2)), TEXTS),
    "tf-idf": (TfidfVectorizer(stop_words=["cat"]), TEXTS),
    "svd": (TruncatedSVD(2, random_state=0), NUMBERS[:2]),
    "indicator": (SimpleImputer(add_indicator=True), NUMBERS),
    "columns": (
        ColumnTransformer(
            [("a", OneHotEncoder(), [0]), ("b", FunctionTransformer(np.exp), [1])],
            remainder="passthrough",
            transformer_weights={"a": 2.0},
        ),
        NUMBERS,
    ),
}


@pytest.fixture(scope="module")
def files():
    """Return the header and the tensors of a file of each step."""
    return {
        name: parse(dumps(make_pipeline(step).fit(X)))
        for name, (step, X) in STEPS.items()
    }


def nodes(node, kind):
    """Yield every object of a class in a header."""
    if isinstance(node, dict) and node.get("object") == kind:
        yield node
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, dict | list):
            yield from nodes(part, kind)


def names_of_tensors(node):
    """Yield the names of the tensors that a header uses."""
    if isinstance(node, dict) and "array" in node:
        yield node["array"][0]
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, dict | list):
            yield from names_of_tensors(part)


def forged(file, step, part, **changes):
    """Return the bytes of a file with other parameters or attributes of a step.

    It has a valid checksum, which a forger can make too.
    """
    header, tensors = copy.deepcopy(file[0]), dict(file[1])
    writer = Writer()
    writer.tensors = {"forged": torch.zeros(0)}  # it counts the names of the others
    for name, value in changes.items():
        places = list(nodes(header, step))
        node = value if isinstance(value, Node) else writer.encode(value, f"new{name}")
        assert places
        for place in places[-1:]:
            place[part][name] = node.node if isinstance(node, Node) else node
    used = set(names_of_tensors(header))
    both = {**tensors, **writer.tensors}
    return to_bytes(header, {name: both[name] for name in both if name in used})


class Node:
    """A part of a header as it is, for what no value is written as."""

    def __init__(self, node):
        self.node = node


def numbers(*values, dtype=np.int64):
    """Return an array of numbers."""
    return np.array(values, dtype=dtype)


def objects(*values):
    """Return an array of objects."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def terms(*lengths, text=b"abcd"):
    """Return a forged vocabulary: the bytes of the terms and their lengths."""
    return [np.frombuffer(text, np.uint8), np.array(lengths, dtype=np.int32)]


LEARNED = [
    # The search finds a place outside of numbers that are not sorted.
    ("one-hot", "OneHotEncoder", "categories_", [numbers(*"321", dtype=float)] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [objects(3, 2, 1)] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [numbers(1, 1)] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [numbers(np.nan, 1, dtype=float)] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [np.array(["b", "a"])] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [objects("a", 1)] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [objects("a", "a")] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [objects([1], [2])] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [np.zeros((2, 2))] * 3),
    ("one-hot", "OneHotEncoder", "categories_", [numbers(1, 2)] * 2),
    ("one-hot", "OneHotEncoder", "categories_", [numbers()] * 3),
    ("one-hot", "OneHotEncoder", "categories_", 3),
    ("one-hot", "OneHotEncoder", "_n_features_outs", [1, 1, 1]),
    ("one-hot", "OneHotEncoder", "_n_features_outs", [2**60, 2, 3]),
    ("one-hot", "OneHotEncoder", "_n_features_outs", [-1, 2, 3]),
    ("one-hot", "OneHotEncoder", "_infrequent_enabled", True),
    ("one-hot", "OneHotEncoder", "_infrequent_enabled", 0),
    ("one-hot", "OneHotEncoder", "n_features_in_", -3),
    ("one-hot", "OneHotEncoder", "n_features_in_", 3.0),
    ("one-hot", "OneHotEncoder", "feature_names_in_", objects("a", "b")),
    ("one-hot", "OneHotEncoder", "feature_names_in_", objects(1, 2, 3)),
    ("one-hot", "OneHotEncoder", "_sklearn_output_config", {"transform": "system"}),
    ("one-hot", "OneHotEncoder", "_sklearn_output_config", {"more": "pandas"}),
    ("one-hot", "OneHotEncoder", "more_", 1),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(3, 0)),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(-1, 0)),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(0, True)),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(0.5, 0)),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(0)),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", None),
    ("dropped", "OneHotEncoder", "_drop_idx_after_grouping", objects(None, 0)),
    ("dropped", "OneHotEncoder", "drop_idx_", objects(0, 9)),
    ("dropped", "OneHotEncoder", "drop_idx_", numbers(0, 0)),
    ("grouped", "OneHotEncoder", "_infrequent_indices", [numbers(99), None, None]),
    ("grouped", "OneHotEncoder", "_infrequent_indices", [numbers(-1)] * 3),
    ("grouped", "OneHotEncoder", "_infrequent_indices", [numbers(1, 1)] * 3),
    ("grouped", "OneHotEncoder", "_infrequent_indices", [None] * 2),
    ("grouped", "OneHotEncoder", "_default_to_infrequent_mappings", [None] * 3),
    (
        "grouped",
        "OneHotEncoder",
        "_default_to_infrequent_mappings",
        [numbers(0, 10**6, 1), None, numbers(0, 1, 1)],
    ),
    ("ordinal", "OrdinalEncoder", "_missing_indices", {0: 10**9}),
    ("ordinal", "OrdinalEncoder", "_missing_indices", {7: 2}),
    ("ordinal", "OrdinalEncoder", "_missing_indices", {}),
    ("ordinal", "OrdinalEncoder", "_infrequent_indices", [numbers(50)] * 3),
    ("counts", "CountVectorizer", "vocabulary_", terms(1, 1, 1)),
    ("counts", "CountVectorizer", "vocabulary_", terms(5, -1)),
    ("counts", "CountVectorizer", "vocabulary_", terms(2, 0, 2, 0)),
    ("counts", "CountVectorizer", "vocabulary_", terms(1, 1, text=b"aa")),
    ("counts", "CountVectorizer", "vocabulary_", terms(1, text=b"\xff")),
    ("counts", "CountVectorizer", "vocabulary_", terms(text=b"")),
    ("counts", "CountVectorizer", "vocabulary_", {"a": 0, "b": 10**6}),
    ("counts", "CountVectorizer", "fixed_vocabulary_", 1),
    ("counts", "CountVectorizer", "_stop_words_id", 1),
    ("tf-idf", "TfidfTransformer", "idf_", numbers(1, 2, dtype=float)),
    ("tf-idf", "TfidfTransformer", "idf_", np.ones((7, 7))),
    ("tf-idf", "TfidfTransformer", "n_features_in_", 2),
    ("tf-idf", "TfidfVectorizer", "vocabulary_", terms(2, 2)),
    ("tf-idf", "TfidfVectorizer", "_tfidf", OneHotEncoder()),
    ("tf-idf", "TfidfVectorizer", "_tfidf", None),
    ("svd", "TruncatedSVD", "components_", np.ones((2, 7))),
    ("svd", "TruncatedSVD", "components_", np.ones(3)),
    ("svd", "TruncatedSVD", "components_", np.ones((2, 3), dtype=int)),
    ("svd", "TruncatedSVD", "components_", np.ones((0, 3))),
    ("indicator", "MissingIndicator", "features_", numbers(3)),
    ("indicator", "MissingIndicator", "features_", numbers(-1)),
    ("indicator", "MissingIndicator", "features_", numbers(0.5, dtype=float)),
    ("columns", "ColumnTransformer", "sparse_output_", 1),
    ("columns", "ColumnTransformer", "n_features_in_", 2),
    ("columns", "ColumnTransformer", "_columns", [0]),
    ("columns", "ColumnTransformer", "_transformer_to_input_indices", {"a": [7]}),
    ("columns", "ColumnTransformer", "output_indices_", {"a": slice(0, 2)}),
    (
        "columns",
        "ColumnTransformer",
        "output_indices_",
        {"a": slice(0, 3), "b": slice(5, 6), "remainder": slice(6, 7)},
    ),
    (
        "columns",
        "ColumnTransformer",
        "output_indices_",
        {"a": slice(0, 3), "b": slice(3, 2**40), "remainder": slice(2**40, 2**40)},
    ),
    ("columns", "ColumnTransformer", "transformers_", Node([])),
    ("columns", "ColumnTransformer", "transformers_", Node([["a", "drop", [99]]])),
]


@pytest.mark.parametrize(("name", "step", "attribute", "value"), LEARNED)
def test_what_was_learned(name, step, attribute, value, files):
    """Check that load refuses numbers that do not fit together."""
    with pytest.raises(ValueError, match="cannot be loaded: "):
        loads(forged(files[name], step, "state", **{attribute: value}))


COLUMNS = [[3], [-4], ["age"], [None], [[0]], [0, "a"], [True], slice("a", "b"), 0.5]


@pytest.mark.parametrize("columns", COLUMNS, ids=str)
def test_columns_that_do_not_exist(columns, files):
    """Check the columns of fitted transformers, and of those that were given."""
    for part in ("state", "params"):
        name = "transformers_" if part == "state" else "transformers"
        node = next(nodes(files["columns"][0], "ColumnTransformer"))[part][name]
        changed = [[*node[0][:2], Writer().encode(columns, "")], *node[1:]]
        data = forged(
            files["columns"], "ColumnTransformer", part, **{name: Node(changed)}
        )
        if part == "state" or columns in ([None], [[0]], [0, "a"], 0.5):
            with pytest.raises(ValueError, match="cannot be loaded: "):
                loads(data)


@pytest.mark.parametrize(
    "each", ["passthrough", "system", 3, None, {"object": "MLP"}], ids=str
)
def test_transformers_that_are_none(each, files):
    """Check that a transformer is one, and that it was fitted."""
    node = next(nodes(files["columns"][0], "ColumnTransformer"))["state"]
    changed = [[node["transformers_"][0][0], each, [0]], *node["transformers_"][1:]]
    data = forged(
        files["columns"], "ColumnTransformer", "state", transformers_=Node(changed)
    )
    with pytest.raises(ValueError, match="cannot be loaded: "):
        loads(data)


def test_a_few_characters_for_many_columns(files):
    """Check that slices cannot ask for more columns than a file may have."""
    (header, tensors), all_columns = copy.deepcopy(files["columns"]), slice(None)
    node = next(nodes(header, "ColumnTransformer"))
    node["state"]["n_features_in_"] = 2**24
    node["state"]["transformers_"][0][2] = Writer().encode(all_columns, "")
    with pytest.raises(ValueError, match="more than 1000000 columns"):
        loads(to_bytes(header, tensors))
    node["state"]["n_features_in_"] = 2**60
    with pytest.raises(ValueError, match="is not a number of features"):
        loads(to_bytes(header, tensors))


def wide(n):
    """Return a ColumnTransformer of a file that selects n columns, twice."""
    step = ColumnTransformer([("a", "drop", slice(0, n)), ("b", "drop", slice(0, n))])
    return step.fit(np.zeros((1, n)))


def test_many_column_transformers():
    """Check that the limit is one for the whole file, in save as in load."""
    assert loads(dumps(make_pipeline(wide(250_000), wide(250_000))))
    with pytest.raises(ValueError, match="select more than 1000000 columns"):
        dumps(make_pipeline(wide(250_000), wide(250_001)))
    header, tensors = parse(dumps(make_pipeline(wide(250_000), wide(250_000))))
    for node in nodes(header, "ColumnTransformer"):
        node["state"]["n_features_in_"] = 300_000
        for one in node["state"]["transformers_"]:
            one[2] = Writer().encode(slice(0, 300_000), "")
    with pytest.raises(ValueError, match="select more than 1000000 columns"):
        loads(to_bytes(header, tensors))


def test_one_transformer_many_times(files):
    """Check that a small file cannot multiply its columns, level by level."""
    header, tensors = copy.deepcopy(files["columns"])
    node = next(nodes(header, "ColumnTransformer"))
    # 0 to 3 are the pipeline, the ColumnTransformer and what it was given.
    number = 4
    assert node["state"]["transformers_"][0][1]["object"] == "OneHotEncoder"
    node["state"]["transformers_"][1][1] = {"same": number}
    with pytest.raises(ValueError, match="one fitted transformer works for several"):
        loads(to_bytes(header, tensors))
    inner = {"steps": [["one", {"same": number}]]}
    node["state"]["transformers_"][1][1] = {
        **{"object": "Pipeline", "params": inner, "state": {}}
    }
    with pytest.raises(ValueError, match="one fitted transformer works for several"):
        loads(to_bytes(header, tensors))


def test_a_transformer_that_is_not_fitted(files):
    """Check that a file cannot hold an encoder without categories for its columns."""
    data = forged(files["columns"], "OneHotEncoder", "state")
    header, tensors = copy.deepcopy(parse(data))
    for node in nodes(header, "OneHotEncoder"):
        node["state"] = {}
    used = set(names_of_tensors(header))
    tensors = {name: tensor for name, tensor in tensors.items() if name in used}
    with pytest.raises(ValueError, match="is not fitted"):
        loads(to_bytes(header, tensors))


PARAMS = [
    ("counts", "CountVectorizer", "input", "filename"),
    ("counts", "CountVectorizer", "input", "file"),
    ("counts", "CountVectorizer", "encoding", "zip"),
    ("counts", "CountVectorizer", "decode_error", "namereplace"),
    ("counts", "CountVectorizer", "token_pattern", r"(\w+\w+)+$"),
    ("counts", "CountVectorizer", "token_pattern", None),
    ("counts", "CountVectorizer", "ngram_range", (1, 10**9)),
    ("counts", "CountVectorizer", "ngram_range", (-(10**9), 2)),
    ("counts", "CountVectorizer", "ngram_range", (1, 2, 3)),
    ("counts", "CountVectorizer", "dtype", "S100000000"),
    ("counts", "CountVectorizer", "dtype", object),
    ("counts", "CountVectorizer", "stop_words", [["a"]]),
    ("counts", "CountVectorizer", "stop_words", "german"),
    ("counts", "CountVectorizer", "tokenizer", np.exp),
    ("counts", "CountVectorizer", "analyzer", np.exp),
    ("counts", "CountVectorizer", "vocabulary", "abc"),
    ("counts", "CountVectorizer", "vocabulary", {"a": "b"}),
    ("one-hot", "OneHotEncoder", "dtype", "S100000000"),
    ("one-hot", "OneHotEncoder", "dtype", "float64,float64"),
    ("one-hot", "OneHotEncoder", "dtype", str),
    ("one-hot", "OneHotEncoder", "feature_name_combiner", np.exp),
    ("ordinal", "OrdinalEncoder", "dtype", "O"),
    ("columns", "FunctionTransformer", "kw_args", {"out": 1}),
    ("columns", "FunctionTransformer", "func", Node({"function": "frompyfunc"})),
    ("columns", "FunctionTransformer", "func", Node({"function": "add"})),
    ("columns", "FunctionTransformer", "func", Node({"function": []})),
    ("columns", "FunctionTransformer", "func", Node({"type": "int"})),
    ("columns", "FunctionTransformer", "func", make_column_selector()),
    ("columns", "FunctionTransformer", "inverse_func", Node({"type": "eval"})),
    ("columns", "FunctionTransformer", "feature_names_out", np.exp),
    ("columns", "ColumnTransformer", "n_jobs", 4),
    ("columns", "ColumnTransformer", "verbose_feature_names_out", "{0.__class__}"),
    ("columns", "ColumnTransformer", "transformer_weights", {"a": "b"}),
    ("columns", "ColumnTransformer", "remainder", "system"),
]


@pytest.mark.parametrize(("name", "step", "param", "value"), PARAMS)
def test_what_may_not_be_asked_for(name, step, param, value, files):
    """Check parameters that would choose files, functions, or how much is computed."""
    with pytest.raises(ValueError, match="cannot be loaded: "):
        loads(forged(files[name], step, "params", **{param: value}))


CHANGES = {
    "shorter": lambda t: t[:-1],
    "empty": lambda t: t[:0],
    "longer": lambda t: torch.cat([t, t]),
    "reversed": lambda t: t.flip(0),
    "nested": lambda t: t[None],
    "larger": lambda t: t + 1,
    "huge": lambda t: t + 2**30 if t.element_size() > 2 else t * 0 + 127,
    "negative": lambda t: -t.to(torch.int8) - 1,
    "nan": lambda t: t.double() * float("nan"),
    "zero": lambda t: t * 0,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", STEPS)
def test_every_array(name, change, files):
    """Check every array of a file, one after the other: refused, or in range."""
    header, tensors = files[name]
    for key in tensors:
        tensor = CHANGES[change](tensors[key]).contiguous()
        try:
            loaded = loads(to_bytes(header, {**tensors, key: tensor}))
        except ValueError as error:
            assert "cannot be loaded: " in str(error)
            continue
        assert_in_range(loaded, STEPS[name][1])


def assert_in_range(loaded, X):
    """Assert that the output has a limited size, and no index outside of it."""
    try:
        output = loaded.transform(X)
    except Exception:
        return  # NumPy or scikit-learn found that something does not fit
    if output is X:
        return  # a pipeline of nothing
    assert output.shape[0] == len(X)
    assert output.shape[1] < MOST_COLUMNS
    if hasattr(output, "indices"):
        output.check_format(full_check=True)


@pytest.mark.parametrize("name", STEPS)
def test_every_attribute_is_needed_or_harmless(name, files):
    """Check files that lack one attribute, or have one of another class of step."""
    for step in {type(node).__name__ for node, _ in STEPS.values()}:
        for place in range(len(list(nodes(files[name][0], step)))):
            for attribute in list(nodes(files[name][0], step))[place]["state"]:
                header, tensors = copy.deepcopy(files[name])
                del list(nodes(header, step))[place]["state"][attribute]
                used = set(names_of_tensors(header))
                rest = {key: tensors[key] for key in tensors if key in used}
                try:
                    loaded = loads(to_bytes(header, rest))
                except ValueError:
                    continue
                assert_in_range(loaded, STEPS[name][1])


VALUES = [
    *(None, True, -1, 0, 2, 2**31, 0.5, "a", "passthrough", [], {}, [[]]),
    *({"same": 2}, {"same": 4}, {"array": ["0.a", False, None]}, {"tuple": [1, 30]}),
    *({"objects": ["a", 1]}, {"objects": [3, 1]}, {"strings": ["b", "a"]}),
    *({"slice": [0, 2**40, None]}, {"slice": [None] * 3}, {"slice": [2, 1, -1]}),
    *({"type": "float"}, {"function": "exp"}, {"selector": ["number", None]}),
    *({"scalar": ["int64", 5]}, {"float": "nan"}, {"dict": [[1, 2]]}),
]


def places(node):
    """Yield every container in a header with every key or index in it."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


@pytest.mark.parametrize("name", STEPS)
def test_random_forgeries(name, files):
    """Check parts that are replaced, deleted, or copied from another place."""
    rng, refused = random.Random(0), 0
    for _ in range(60):
        header, tensors = copy.deepcopy(files[name])
        everywhere = list(places(header["estimator"]["params"]))
        for _ in range(rng.choice([1, 1, 2])):
            (node, key), (other, its) = rng.choices(everywhere, k=2)
            if rng.random() < 0.1:
                node.pop(key, None) if isinstance(node, dict) else node.clear()
            else:
                node[key] = copy.deepcopy(rng.choice([*VALUES, other[its]]))
            everywhere = list(places(header["estimator"]["params"]))
        text = json.dumps(header)
        rest = {key: tensors[key] for key in tensors if json.dumps(key) in text}
        try:
            loaded = loads(to_bytes(header, rest))
        except ValueError as error:
            assert not isinstance(error.__cause__, MemoryError)
            refused += 1
            continue
        assert_in_range(loaded, STEPS[name][1])
    assert 30 < refused < 60


def test_the_files_load(files):
    """Check that files load as they are, so that the tests fail for their changes."""
    for name, (step, X) in STEPS.items():
        loaded = loads(to_bytes(*files[name])).transform(X)
        assert_in_range(loads(to_bytes(*files[name])), X)
        expected = make_pipeline(step).fit_transform(X)
        assert loaded.shape == expected.shape
        both = [X.toarray() if hasattr(X, "toarray") else X for X in (loaded, expected)]
        np.testing.assert_array_equal(*both)
        assert loads(forged(files[name], type(step).__name__, "state"))
