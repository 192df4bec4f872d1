# SPDX-License-Identifier: BSD-3-Clause
"""Metadata routing of estimators that split the rows and fit another estimator."""

from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from confident_clf.utils._sklearn import _routing_enabled


def fit_and_split_router(
    owner: BaseEstimator, estimator: BaseEstimator, splitter: object
) -> MetadataRouter:
    """Return a router from `fit` to the estimator's `fit` and the splitter's `split`.

    `partial_fit` goes to the estimator's `partial_fit`. Without a splitter object, such
    as for a number of folds, only the estimator counts.
    """
    router = MetadataRouter(owner=type(owner).__name__)
    for name, thing, callee in [
        ("estimator", estimator, "fit"),
        ("splitter", splitter, "split"),
    ]:
        mapping = MethodMapping().add(caller="fit", callee=callee)
        if name == "estimator":
            mapping.add(caller="partial_fit", callee="partial_fit")
        router.add(**{name: thing}, method_mapping=mapping)
    return router


def route_fit_params(owner: BaseEstimator, params: dict) -> tuple[dict, dict]:
    """Return the parameters of the estimator's `fit` and of the splitter's `split`.

    Without metadata routing, `groups` are for `split` and the others for `fit`, as in
    scikit-learn's searches.
    """
    if not _routing_enabled():
        groups = params.get("groups")
        fit_params = {name: v for name, v in params.items() if name != "groups"}
        return fit_params, {} if groups is None else {"groups": groups}
    routed = process_routing(owner, "fit", **params)
    return routed.estimator.fit, routed.splitter.split


def route_partial_fit_params(owner: BaseEstimator, params: dict) -> dict:
    """Return the parameters of the estimator's `partial_fit`."""
    if not _routing_enabled():
        return params
    return process_routing(owner, "partial_fit", **params).estimator.partial_fit


def refuse_groups(split_params: dict, cv: object, advice: str) -> None:
    """Raise ValueError if groups were given to a `cv` that draws single rows."""
    if "groups" in split_params:
        raise ValueError(
            f"groups were given, but cv={cv!r} does not keep them together. Pass a "
            f"splitter that does, such as {advice}, or leave groups out."
        )
