# SPDX-License-Identifier: BSD-3-Clause
"""The classes that a file may name."""

from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import (
    CountVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._open_set import OpenSetClassifier
from confident_clf._search import ConfidentClassifierCV
from confident_clf.modules import (
    MLP,
    VGG,
    DCDiscriminator,
    DCGenerator,
    MLPDiscriminator,
    MLPGenerator,
    SmallConvNet,
)
from confident_clf.scores import (
    GEN,
    KNN,
    ODIN,
    RMD,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    ReAct,
    ViM,
)
from confident_clf.scores._score import NamedScore
from confident_clf.sources import (
    ExplicitOOD,
    FeatureOOD,
    JointGAN,
    MixtureOOD,
    NoiseOOD,
    OriginalGAN,
)

ESTIMATORS = (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
)
STEPS = (
    ColumnTransformer,
    CountVectorizer,
    FunctionTransformer,
    GaussianMixture,
    LogisticRegression,
    MaxAbsScaler,
    MinMaxScaler,
    MissingIndicator,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PCA,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SimpleImputer,
    StandardScaler,
    TfidfTransformer,
    TfidfVectorizer,
    TruncatedSVD,
    VarianceThreshold,
)
_SCORES = (
    GEN,
    KNN,
    ODIN,
    RMD,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    NamedScore,
    ReAct,
    ViM,
)
_SOURCES = (ExplicitOOD, FeatureOOD, JointGAN, MixtureOOD, NoiseOOD, OriginalGAN)
CLASSES = {
    cls.__name__: cls
    for cls in (*ESTIMATORS, Pipeline, FrozenEstimator, *STEPS, *_SOURCES, *_SCORES)
}
NETWORKS = {
    cls.__name__: cls
    for cls in (
        MLP,
        VGG,
        DCDiscriminator,
        DCGenerator,
        MLPDiscriminator,
        MLPGenerator,
        SmallConvNet,
    )
}
