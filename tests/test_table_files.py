# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``save`` and ``load`` with the steps that prepare tables and text."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import (
    CountVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from confident_clf import (
    ConfidentClassifier,
    OODDetector,
    OpenSetClassifier,
    dumps,
    loads,
)

RNG = np.random.default_rng(0)
N = 60
TEXTS = RNG.choice(["Hello big world", "a small red cat", "Überall big cat"], N)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(5, 1, N),
        "fare": RNG.exponential(size=N),
        "town": RNG.choice(["a", "b", "c", "d"], N, p=[0.5, 0.4, 0.05, 0.05]),
        "size": RNG.choice(["s", "m", "l"], N),
        "text": TEXTS,
    }
).astype({"town": object, "size": object, "text": object})
TABLE.loc[3, "age"] = np.nan
TABLE.loc[4, "town"] = np.nan
Y = RNG.integers(0, 2, N)
CODES = np.array([[1, "a"], [2, "b"], [3, np.nan], [1, "a"]], dtype=object)
NUMBERS = np.array([[1.0, 5], [2, 5], [np.nan, 7], [1, 7]])


def clf():
    """Return a classifier that is fast to fit."""
    return ConfidentClassifier(
        hidden=(8,), ood_source="noise", method="msp", max_epochs=2, random_state=0
    )


def dense(X):
    """Return an array, whatever holds the numbers."""
    return X.toarray() if hasattr(X, "toarray") else np.asarray(X)


def table_step(**params):
    """Return what a table often needs, with many kinds of columns."""
    number = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)
    steps = [
        ("number", number, make_column_selector(dtype_include=np.number)),
        ("log", FunctionTransformer(np.log1p, np.expm1), slice("fare", "fare")),
        (
            "town",
            make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot),
            lambda table: ["town"],
        ),
        ("size", OrdinalEncoder(categories=[["s", "m", "l"]]), np.array([3])),
        ("text", TfidfVectorizer(ngram_range=(1, 2)), "text"),
        ("drop", "drop", [True, False, False, False, False]),
        ("same", "passthrough", [1]),
        ("empty", "passthrough", []),
    ]
    return ColumnTransformer(steps, n_jobs=1, sparse_threshold=0, **params)


@pytest.fixture(scope="module")
def fitted():
    """Return a classifier of rows of a table."""
    pipeline = make_pipeline(table_step(), SimpleImputer(), clf())
    return pipeline.fit(TABLE, Y)


def test_a_table_in_front_of_a_classifier(fitted):
    """Check predictions and scores to the bit, also of values never seen."""
    loaded = loads(dumps(fitted))
    new = TABLE.assign(town="never seen")[TABLE.columns[::-1]]
    for table in (TABLE, new):
        for method in ("predict", "predict_proba", "score_samples"):
            expected = getattr(fitted, method)(table)
            np.testing.assert_array_equal(getattr(loaded, method)(table), expected)


def test_what_a_column_transformer_knows(fitted):
    """Check what a file leaves out and what load computes again."""
    step, loaded = fitted[0], loads(dumps(fitted))[0]
    assert loaded._transformer_to_input_indices == step._transformer_to_input_indices
    assert loaded.output_indices_ == step.output_indices_
    assert loaded._remainder == step._remainder
    assert list(loaded.named_transformers_) == list(step.named_transformers_)
    assert loaded.n_jobs is None and step.n_jobs == 1
    assert loaded.transformers[2][2] == ["town"]
    assert loaded.transformers[0][2](TABLE) == ["age", "fare"]
    assert "number" in loaded._repr_html_()
    again = loaded.fit_transform(TABLE, Y)
    np.testing.assert_array_equal(again, step.transform(TABLE))


def test_names_and_containers():
    """Check get_feature_names_out and set_output, and the remainder."""
    step = ColumnTransformer(
        [
            ("town", OneHotEncoder(sparse_output=False, drop="if_binary"), ["town"]),
            ("size", OrdinalEncoder(), ["size"]),
        ],
        remainder=StandardScaler(),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    table = TABLE.drop(columns="text")
    pipeline = make_pipeline(step.fit(table))
    loaded = loads(dumps(pipeline))
    names = ["town_a", "town_b", "town_c", "town_d", "town_nan", "size", "age", "fare"]
    assert loaded.get_feature_names_out().tolist() == names
    pd.testing.assert_frame_equal(loaded.transform(table), pipeline.transform(table))
    assert loaded[0]._remainder[2] == step._remainder[2]


@pytest.mark.parametrize("kind", [OODDetector, OpenSetClassifier])
def test_detectors(kind):
    """Check decisions of a detector around a table, and behind words."""
    steps = table_step()
    steps.transformers[2] = ("town", steps.transformers[2][1], ["town"])
    detector = kind(
        make_pipeline(steps, SimpleImputer(), clf()), target_tpr=0.8, random_state=0
    ).fit(TABLE, Y)
    words = make_pipeline(
        TfidfVectorizer(dtype=np.float32),
        TruncatedSVD(3, random_state=0),
        kind(clf(), target_tpr=0.8, random_state=0),
    ).fit(TEXTS, Y)
    for one, X in ((detector, TABLE), (words, TEXTS)):
        loaded = loads(dumps(one))
        for method in ("predict", "score_samples"):
            expected = getattr(one, method)(X)
            np.testing.assert_array_equal(getattr(loaded, method)(X), expected)


@pytest.mark.parametrize(
    ("step", "X"),
    [
        (OneHotEncoder(), CODES),
        (OneHotEncoder(dtype=np.float32, drop="first"), CODES),
        (OneHotEncoder(drop=[2, "b"], handle_unknown="ignore"), CODES),
        (OneHotEncoder(max_categories=2, drop="if_binary"), CODES),
        (OneHotEncoder(min_frequency=2, drop="first"), NUMBERS),
        (OneHotEncoder(dtype="int8"), NUMBERS),
        (OneHotEncoder(), np.array([["ä"], ["b"]])),
        (OneHotEncoder(), np.array([[True], [False]])),
        (OrdinalEncoder(), CODES),
        (OrdinalEncoder(max_categories=2, encoded_missing_value=-2), CODES),
        (OrdinalEncoder(dtype=int), NUMBERS[:2]),
        (OrdinalEncoder(min_frequency=2), NUMBERS),
        (CountVectorizer(), TEXTS),
        (CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)), TEXTS),
        (CountVectorizer(analyzer="char", binary=True, max_features=5), TEXTS),
        (CountVectorizer(vocabulary=["cat", "big"], stop_words=["cat"]), TEXTS),
        (CountVectorizer(vocabulary={"cat": 1, "big": 0}, lowercase=False), TEXTS),
        (TfidfVectorizer(strip_accents="unicode", stop_words="english"), TEXTS),
        (TfidfVectorizer(token_pattern=r"\w+", use_idf=False, norm=None), TEXTS),
        (make_pipeline(CountVectorizer(), TfidfTransformer()), TEXTS),
        (make_pipeline(CountVectorizer(), TruncatedSVD(2, random_state=0)), TEXTS),
        (FunctionTransformer(np.abs, feature_names_out="one-to-one"), NUMBERS),
        (FunctionTransformer(feature_names_out="one-to-one", validate=False), NUMBERS),
        (ColumnTransformer([("all", "drop", [0])], remainder="passthrough"), NUMBERS),
        (ColumnTransformer([("all", "drop", slice(0, 2))]), NUMBERS),
        (ColumnTransformer([("a", OneHotEncoder(), [-1])], n_jobs=1), NUMBERS),
        (ColumnTransformer([("a", StandardScaler(), [False, True])]), NUMBERS),
        (SimpleImputer(add_indicator=True), NUMBERS),
    ],
    ids=lambda value: repr(value)[:60] if hasattr(value, "fit") else "",
)
def test_every_step(step, X):
    """Check the output, its dtype and its names, to the bit."""
    pipeline = make_pipeline(step).fit(X)
    loaded = loads(dumps(pipeline))
    expected, result = pipeline.transform(X), loaded.transform(X)
    assert type(result) is type(expected) and result.dtype == expected.dtype
    np.testing.assert_array_equal(dense(result), dense(expected))
    if hasattr(pipeline, "get_feature_names_out"):
        names = pipeline.get_feature_names_out().tolist()
        assert loaded.get_feature_names_out().tolist() == names


def test_terms_that_are_hard_to_write():
    """Check terms with spaces, zeros, and half a pair of surrogates."""
    texts = ["a\0b\n\ud800c", "😀 ä"]
    step = CountVectorizer(analyzer="char").fit(texts)
    loaded = loads(dumps(make_pipeline(step)))[0]
    assert loaded.vocabulary_ == step.vocabulary_
    assert len(loaded.vocabulary_) == 9


def test_more_terms_than_a_header_holds():
    """Check a vocabulary of 8 MB."""
    terms = [f"{i:040}" for i in range(200_000)]
    step = CountVectorizer()
    step.vocabulary_ = {term: i for i, term in enumerate(terms)}
    step.fixed_vocabulary_ = False
    assert loads(dumps(make_pipeline(step)))[0].vocabulary_ == step.vocabulary_


def lower(text):
    """Return a text in small letters."""
    return text.lower()


REFUSED = {
    "tokenizer": (CountVectorizer(tokenizer=str.split, token_pattern=None), "Change"),
    "preprocessor": (CountVectorizer(preprocessor=lower), "before the pipeline"),
    "analyzer": (TfidfVectorizer(analyzer=str.split), "analyzer is a function"),
    "accents": (TfidfVectorizer(strip_accents=lower), "strip_accents is a function"),
    "slow pattern": (CountVectorizer(token_pattern=r"(\w+\w+)+$"), "Use one of"),
    "long n-grams": (CountVectorizer(ngram_range=(1, 50)), "Use shorter"),
    "encoding": (CountVectorizer(encoding="idna"), "Decode the texts"),
    "dtype": (CountVectorizer(dtype=np.int8), "float32, float64, int64"),
    "vocabulary": (CountVectorizer(vocabulary={"cat", "big"}), "Pass a list"),
    "function": (FunctionTransformer(lower), "apply your function before"),
    "two numbers": (FunctionTransformer(np.add), "absolute, arccos"),
    "inverse": (FunctionTransformer(np.exp, lower, check_inverse=False), "inverse_f"),
    "keywords": (FunctionTransformer(np.exp, kw_args={"dtype": "f4"}), "Remove them"),
    "names": (FunctionTransformer(feature_names_out=lower), "Use 'one-to-one'"),
    "combiner": (OneHotEncoder(feature_name_combiner=max), "Use 'concat'"),
    "prefix": (
        ColumnTransformer([("a", "drop", [0])], verbose_feature_names_out=max),
        "Use one of them",
    ),
    "its own class": (
        ColumnTransformer([("a", OneHotEncoder(feature_name_combiner=max), [0])]),
        "columntransformer__a is a OneHotEncoder: feature_name_combiner",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_hold(name):
    """Check that save refuses a step, and says what to do."""
    step, message = REFUSED[name]
    is_text = isinstance(step, CountVectorizer)
    is_function = isinstance(step, FunctionTransformer)
    pipeline = make_pipeline(step)
    if not is_function:
        pipeline.fit(TEXTS if is_text else NUMBERS)
    with pytest.raises(ValueError, match="cannot be saved") as caught:
        dumps(pipeline)
    assert message in str(caught.value)


def test_a_function_that_was_not_called():
    """Check columns that a function would choose in a fit that comes later."""
    step = ColumnTransformer([("a", StandardScaler(), lambda X: [0])])
    detector = OODDetector(make_pipeline(step, clf()), random_state=0, target_tpr=0.8)
    X = TABLE[["fare", "fare"]].to_numpy()
    with pytest.raises(ValueError, match="List their names"):
        dumps(detector.fit(X, Y))


def test_an_attribute_of_a_later_version():
    """Check that save does not leave out what it does not know."""
    step = OneHotEncoder().fit(CODES)
    step.more_ = 3
    with pytest.raises(ValueError, match="'more_' is not one that files hold"):
        dumps(make_pipeline(step))
