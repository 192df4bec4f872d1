# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``save`` and ``load``: a loaded estimator is like the saved one."""

import json
import os
import pickle
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from skorch.callbacks import Callback

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
    load,
    save,
)
from confident_clf._files import _container
from confident_clf.modules import MLP, VGG, DCGenerator, SmallConvNet
from confident_clf.scores import GEN, KNN, ODIN, OODScore, ViM
from confident_clf.sources import JointGAN, MixtureOOD, NoiseOOD, OODSource

X, Y = load_digits(return_X_y=True)
X_OOD = X[Y >= 5][:60] / 16
X, Y = X[Y < 5][:200] / 16, Y[Y < 5][:200]
IMAGES = (X * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
DATA = Path(__file__).parent / "data"
narrow = partial(MLP, hidden=(8,))
# In the setting of the paper.
fast = partial(
    ConfidentClassifier,
    module=narrow,
    ood_source="joint",
    method="msp",
    latent_dim=4,
    max_epochs=1,
    random_state=0,
)


@pytest.fixture
def through_file(tmp_path):
    """Return a function that saves an estimator and loads it."""

    def through(estimator, **options):
        save(estimator, tmp_path / "it.safetensors")
        return load(tmp_path / "it.safetensors", **options)

    return through


def assert_same(one, other, samples, *methods):
    """Assert that two estimators return the same for the samples, to the bit."""
    for method in methods:
        expected = getattr(one, method)(samples)
        result = getattr(other, method)(samples)
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected, strict=True)


SOURCES = {
    "none": None,
    "joint": "joint",
    "gan": "gan",
    "noise": "noise",
    "features": "features",
    "list": ["joint", ("noise", 0.5)],
    "nested": MixtureOOD(
        [
            MixtureOOD([JointGAN(latent_dim=3)]),
            NoiseOOD(["uniform"]),
        ]
    ),
    "explicit": "explicit",
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("kind", ["rows", "rows as images", "images"])
def test_every_source(name, kind, through_file):
    """Check that predictions and samples are the same, to the bit."""
    samples = IMAGES if kind == "images" else X
    unknown = samples[:9] if kind == "images" else X_OOD
    clf = fast(
        module=narrow if kind == "rows" else partial(SmallConvNet, width=4, hidden=8),
        ood_source=clone(SOURCES[name], safe=False),
        generator=None if kind == "rows" else partial(DCGenerator, width=2),
        image_shape=(1, 8, -1) if kind == "rows as images" else None,
        ood_target="reject",
    )
    clf.fit(samples, Y, **({"X_ood": unknown} if name == "explicit" else {}))
    loaded = through_file(clf)
    methods = ("predict", "predict_proba", "decision_function", "ood_score")
    assert_same(clf, loaded, samples, *methods)
    if name != "none":
        assert_same(clf, loaded, 5, "sample_ood")
    assert loaded.history_ == clf.history_
    assert loaded.input_shape_ == clf.input_shape_
    assert repr(loaded) == repr(clf)
    layouts = [p.stride() for p in clf.net_.module_.parameters()]
    assert [p.stride() for p in loaded.net_.module_.parameters()] == layouts


@pytest.mark.parametrize(
    "method",
    [
        *("msp", "odin", "energy", "max_logit", "entropy", "margin", "gen"),
        *("react", "knn", "mahalanobis", "rmd", "vim"),
        *(
            ODIN(temperature=10),
            GEN(gamma=0.5),
            KNN(n_neighbors=3),
            ViM(n_components=2),
        ),
    ],
    ids=str,
)
def test_every_score(method, through_file):
    """Check that all scores, with and without fit, are the same to the bit."""
    clf = fast(ood_source=None, method=method).fit(X, Y)
    loaded = through_file(clf)
    assert_same(clf, loaded, X_OOD, "ood_score")
    assert repr(loaded.method_) == repr(clf.method_)


@pytest.mark.parametrize(
    "labels",
    [
        Y.astype(np.uint8),
        Y.astype(np.uint16),
        Y - 2.0,
        np.array(["ä", "b", "long", "d", "e"])[Y],
        np.array(["a", "b", "c", "d", "e"], dtype=object)[Y],
    ],
    ids=["uint8", "uint16", "float", "str", "object"],
)
def test_every_kind_of_label(labels, through_file):
    """Check that predicted labels keep their dtype."""
    clf = fast(ood_source=None).fit(X, labels)
    assert_same(clf, through_file(clf), X, "predict")


def test_names_of_features(through_file):
    """Check that a loaded classifier knows the columns of a table."""
    import pandas as pd

    table = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    loaded = through_file(fast(ood_source=None).fit(table, Y))
    assert loaded.feature_names_in_.tolist() == table.columns.tolist()
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table[table.columns[::-1]])


def test_large_network_of_the_package(through_file):
    """Check that a partial of VGG is looked up by its name."""
    module = partial(VGG, stages=((4,), (4,)), hidden=4)
    clf = fast(module=module, ood_source=None).fit(IMAGES, Y)
    loaded = through_file(clf)
    assert loaded.module.func is VGG and loaded.module.keywords == module.keywords
    assert_same(clf, loaded, IMAGES, "predict_proba")


@pytest.mark.parametrize(
    "options", [{}, {"per_class": True}, {"cv": 3}, {"method": "knn"}], ids=str
)
def test_detector(options, through_file):
    """Check thresholds, decisions and p-values, to the bit."""
    clf = make_pipeline(StandardScaler(), fast(lr=0.01, max_epochs=5))
    detector = OODDetector(clf, target_tpr=0.6, random_state=0, **options).fit(X, Y)
    loaded = through_file(detector)
    assert_same(detector, loaded, X_OOD, "predict", "decision_function", "p_value")
    np.testing.assert_array_equal(loaded.threshold_, detector.threshold_, strict=True)
    assert repr(loaded) == repr(detector)


@pytest.mark.parametrize("frozen", [False, True])
def test_open_set_classifier(frozen, through_file):
    """Check predictions, and that shared objects are still shared."""
    clf = fast()
    if frozen:
        clf = FrozenEstimator(clf.fit(X, Y))
    open_set = OpenSetClassifier(clf, unknown_label=-5, random_state=0)
    open_set.set_params(target_tpr=0.8).fit(X, Y)
    loaded = through_file(open_set)
    assert_same(open_set, loaded, X_OOD, "predict", "predict_proba", "score_samples")
    assert loaded.estimator_ is loaded.detector_.estimator_
    assert (loaded.estimator_ is loaded.estimator) == frozen


@pytest.mark.parametrize(
    "step",
    [
        MaxAbsScaler(),
        MinMaxScaler(clip=True),
        Normalizer(norm="l1"),
        PCA(2),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20),
        RobustScaler(),
        SimpleImputer(strategy="median"),
        StandardScaler(),
        VarianceThreshold(0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("last", [LogisticRegression(C=0.5), GaussianMixture(2)])
def test_steps_of_scikit_learn(step, last, through_file):
    """Check a detector around pipelines of scikit-learn's estimators alone."""
    iris, y = load_iris(return_X_y=True)
    detector = OODDetector(make_pipeline(step, last), random_state=0).fit(iris, y)
    loaded = through_file(detector)
    assert_same(detector, loaded, iris, "decision_function", "p_value")
    assert repr(loaded) == repr(detector)


class OwnNetwork(torch.nn.Module):
    """A user's network. It has BatchNorm, and so it has buffers."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.BatchNorm1d(64), torch.nn.Linear(64, n_classes)
        )

    def forward(self, x):
        return self.layers(x)


class ScaledNorm(OODScore):
    """A user's score that learns a number."""

    needs_fit = True

    def fit(self, network, X, y):
        self.scale_ = np.abs(network(X)).mean()
        return self

    def ood_score(self, network, X):
        return -np.abs(network(X)).sum(axis=1) / self.scale_


class Shifted(OODSource):
    """A user's source: training samples, shifted by the bias of a network."""

    def prepare(self, x, x_ood, device):
        self.device, self.rows = device, x[:50]
        self.register_buffer("mean_", x.mean(dim=0).to(device))
        if not hasattr(self, "move_"):
            self.make_networks(x.shape[1:], device)

    def make_networks(self, input_shape, device):
        self.move_ = torch.nn.Linear(1, input_shape[0], device=device)

    @torch.no_grad()
    def sample(self, n):
        rows = self.rows[torch.randint(len(self.rows), (n,))].to(self.device)
        return rows + self.mean_ + self.move_.bias


def test_what_the_user_gives(through_file):
    """Check that load asks for the user's code, and then predictions are the same."""
    own = {
        "module": OwnNetwork,
        "ood_source": Shifted(),
        "method": ScaledNorm(),
        "augment": lambda x: x,
        "lr_schedule": lambda progress: 1.0,
        "callbacks": [Callback()],
        "random_state": np.random.RandomState(0),
    }
    with pytest.warns(UserWarning, match="BatchNorm"):
        clf = ConfidentClassifier(max_epochs=1, **own).fit(X, Y)
    with pytest.raises(ValueError, match=r"augment=.*, callbacks=.*method="):
        through_file(clf)
    for_training = {"augment": None, "callbacks": None, "random_state": 3}
    loaded = through_file(clf, **own | for_training)
    assert_same(clf, loaded, X_OOD, "predict_proba", "ood_score")
    loaded.random_state = clf.random_state = 0
    assert_same(clf, loaded, 5, "sample_ood")


@pytest.mark.parametrize(
    "ood_source", ["joint", "gan", ["gan", "noise"], ["joint", Shifted()]], ids=str
)
def test_own_parts_of_a_source(ood_source, through_file):
    """Check sources that contain networks or sources of the user."""

    def generator(latent_dim, output_shape):
        return torch.nn.Linear(latent_dim, output_shape[0])

    clf = fast(generator=generator, ood_source=ood_source).fit(X, Y)
    given = {"generator": generator, "ood_source": ood_source}
    if not isinstance(ood_source, list) or "noise" in ood_source:
        del given["ood_source"]
    loaded = through_file(clf, **given)
    assert_same(clf, loaded, 9, "sample_ood")
    loaded.partial_fit(X, Y)
    assert loaded.n_epochs_ == 2


def test_what_the_user_gives_to_what_is_inside(through_file):
    """Check names as in get_params, and the errors for wrong parameters."""
    detector = OODDetector(fast(module=OwnNetwork, ood_source=None), random_state=0)
    detector.fit(X, Y)
    with pytest.raises(ValueError, match=r"load\(path, estimator__module=...\)"):
        through_file(detector)
    loaded = through_file(detector, estimator__module=OwnNetwork)
    assert_same(detector, loaded, X_OOD, "p_value")
    pipeline = Pipeline([("detector", FrozenEstimator(detector)), ("none_", None)])
    with pytest.raises(ValueError, match="detector__estimator__estimator__module="):
        through_file(pipeline)
    with pytest.raises(ValueError, match="module does not fit the file: "):
        through_file(detector, estimator__module=MLP)
    with pytest.raises(ValueError, match="ask for module; it needs estimator__m"):
        through_file(detector, estimator__module=OwnNetwork, module=MLP)
    with pytest.raises(ValueError, match="'module' parameter"):
        through_file(detector, estimator__module="MLP")


@pytest.mark.parametrize("given", [{}, {"estimator__module": OwnNetwork}], ids=str)
def test_search(given, through_file):
    """Check predictions and results, and the names of parameters that load needs."""
    clf = fast(ood_source=None).set_params(module=given.get("estimator__module"))
    search = ConfidentClassifierCV(clf, betas=[0.1, 0.2], random_state=0).fit(X, Y)
    loaded = through_file(search, **given)
    assert_same(search, loaded, X_OOD, "predict", "predict_proba", "ood_score")
    assert (loaded.beta_, loaded.best_score_) == (search.beta_, search.best_score_)
    np.testing.assert_equal(loaded.cv_results_, search.cv_results_)
    assert repr(loaded) == repr(search)


def test_parameters_that_changed_after_fit(through_file):
    """Check that networks come from the fit, and parameters from set_params."""
    clf = fast().fit(X, Y)
    clf.set_params(module=None, ood_source="noise", lr=0.5, ood_target="reject")
    loaded = through_file(clf)
    assert_same(clf, loaded, X, "predict_proba")
    assert_same(clf, loaded, 5, "sample_ood")
    assert loaded.lr == 0.5 and loaded.ood_source == "noise"


@pytest.mark.parametrize("ood_source", ["joint", ["gan", "noise"]])
def test_going_on(ood_source, through_file):
    """Check that training continues with the same networks and new optimizers."""
    clf = fast(ood_source=ood_source, warm_start=True, max_epochs=5, lr=0.03)
    clf.fit(X, Y)
    one, other = through_file(clf), through_file(clf)
    source = one.net_.source_
    for optimizer in (one.net_.optimizer_, *source.optimizers()):
        assert optimizer.state_dict()["state"] == {}
    one.fit(X, Y)
    other.fit(X, Y)
    assert one.n_epochs_ == 10
    assert one.history_[5]["train_loss"] < 0.5 * clf.history_[0]["train_loss"]
    assert_same(one, other, X, "predict_proba")
    trained = [p for group in one.net_.optimizer_.param_groups for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in one.net_.module_.parameters()}


def test_refused_before_anything_is_written(tmp_path):
    """Check what save refuses, and that an existing file stays as it was."""
    path = tmp_path / "it.safetensors"
    save(make_pipeline(StandardScaler()).fit(X), path)
    before = path.read_bytes()
    with pytest.raises(NotFittedError):
        save(fast(), path)
    with pytest.raises(TypeError, match=r"got a StandardScaler.*joblib"):
        save(StandardScaler().fit(X), path)
    forest = make_pipeline(RandomForestClassifier(2)).fit(X, Y)
    with pytest.raises(ValueError, match="randomforestclassifier is a RandomForest"):
        save(forest, path)
    with pytest.raises(ValueError, match="estimator__rf is a RandomForest"):
        pipeline = make_pipeline(forest[-1])
        pipeline.steps = [("rf", forest[-1])]
        save(OODDetector(FrozenEstimator(pipeline)).fit(X, Y), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_too_much_for_a_file(tmp_path, monkeypatch):
    """Check that save refuses files that load would refuse, and leaves none behind."""
    monkeypatch.setattr(_container, "MAX_HEADER", 1000)
    with pytest.raises(ValueError, match="room for 1000 bytes"):
        save(fast(ood_source=None).fit(X, Y), tmp_path / "it.safetensors")
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        save(fast(ood_source=None).fit(X, Y), tmp_path / "no" / "it.safetensors")


def test_folders_are_not_kept(through_file, tmp_path):
    """Check that a file cannot name a folder where joblib looks for pickles."""
    pipeline = make_pipeline(StandardScaler(), memory=str(tmp_path / "cache"))
    pipeline.fit(X)
    with pytest.raises(ValueError, match="needs memory"):
        through_file(pipeline)
    assert through_file(pipeline, memory=None).memory is None


def test_any_reader_of_safetensors_can_look(tmp_path):
    """Check that the header lists parameters, versions and tensors."""
    path = tmp_path / "it.safetensors"
    save(fast(ood_source=None, beta=0.25).fit(X, Y), path)
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["confident_clf"])
        names = {key.split(".", 1)[1] for key in file.keys()}
    assert header["format"] == 1
    assert header["versions"]["torch"] == torch.__version__
    assert header["estimator"]["params"]["beta"] == 0.25
    assert {"classes_", "head.weight", "features.0.bias"} <= names


def test_device(through_file):
    """Check that a classifier from a GPU loads on the CPU, and the error without."""
    clf = fast().fit(X, Y)
    clf.device = torch.device("cuda", 7)
    with pytest.raises(ValueError, match="device='cuda:7' cannot be used here"):
        through_file(clf)
    loaded = through_file(clf, device="cpu")
    assert loaded.device == "cpu"
    assert_same(clf.set_params(device="cpu"), loaded, X, "predict_proba")


@pytest.mark.parametrize("ood_source", ["joint", "explicit", "noise"])
@pytest.mark.parametrize("library", [pickle, joblib])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU is there")
def test_pickles_of_a_gpu(ood_source, library, tmp_path, monkeypatch):
    """Check that pickle and joblib fall back to the CPU, also for sources."""
    clf = fast(ood_source=ood_source, device="cpu")
    clf.fit(X, Y, **({"X_ood": X_OOD} if ood_source == "explicit" else {}))
    samples = clf.sample_ood(3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for part in clf.net_.source_.modules():
        if hasattr(part, "device"):
            part.device = torch.device("cuda")
    clf.net_.device = torch.device("cuda")
    with open(tmp_path / "it", "wb") as file:
        library.dump(clf, file)
    with (
        open(tmp_path / "it", "rb") as file,
        pytest.warns(UserWarning, match="which is not there"),
    ):
        loaded = library.load(file)
    assert torch.device(loaded.net_.device).type == "cpu"
    np.testing.assert_array_equal(loaded.sample_ood(3), samples)
    assert loaded.predict(X).shape == Y.shape


@pytest.mark.parametrize(
    "path", sorted(DATA.glob("*.safetensors")), ids=lambda p: p.stem
)
def test_files_of_earlier_versions(path):
    """Check that files of earlier versions still give the same predictions."""
    iris, _ = load_iris(return_X_y=True)
    said = json.loads(path.with_suffix(".json").read_text())
    loaded = load(path, device="cpu")  # a GPU draws other samples
    assert loaded.predict(iris).tolist() == said["predict"]
    for name in ("predict_proba", "score_samples"):
        result = getattr(loaded, name)(iris)
        np.testing.assert_allclose(result, said[name], rtol=1e-4, atol=1e-5)
    p_values = loaded.detector_.p_value(iris)
    np.testing.assert_allclose(p_values, said["p_value"], atol=0.05)
    samples = loaded.estimator_[-1].sample_ood(4)
    np.testing.assert_allclose(samples, said["sample_ood"], rtol=1e-3, atol=1e-4)
