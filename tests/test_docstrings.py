# SPDX-License-Identifier: BSD-3-Clause
"""Docstrings of all that is public: complete, in numpydoc's form, with an example."""

import importlib
import inspect
import pkgutil
import tomllib
from pathlib import Path

import pytest
from numpydoc.validate import validate

import confident_clf

CONFIG = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)
# "all" in the configuration, less the checks named after it.
_, *IGNORED = CONFIG["tool"]["numpydoc_validation"]["checks"]


def public_objects():
    """Return the full names of public classes, functions and their public methods."""
    packages = ["confident_clf"] + [
        f"confident_clf.{module.name}"
        for module in pkgutil.iter_modules(confident_clf.__path__)
        if not module.name.startswith("_") and module.name != "utils"
    ]
    for package in packages:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{package}.{name}"
            if inspect.isclass(thing):
                yield from (f"{package}.{name}.{m}" for m in new_methods(thing))


def new_methods(cls):
    """Return the public methods that a class adds; what it overrides is documented."""
    return [
        name
        for name, function in vars(cls).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and not any(hasattr(base, name) for base in cls.__bases__)
    ]


@pytest.mark.parametrize("name", sorted(set(public_objects())))
def test_docstring_is_complete(name):
    """Check numpydoc's validation, and that classes and functions have an example."""
    result = validate(name)
    errors = [error for error in result["errors"] if error[0] not in IGNORED]
    assert errors == []
    *_, owner, _ = name.split(".")
    is_method = owner[0].isupper()
    assert is_method or result["docstring"].count(">>> ")
