"""Imports what evaluators use of scikit-learn, which is an extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from mmtoolkit.base.errors import UserError


def import_sklearn(module: str, asked_by: str, remedy: str) -> ModuleType:
    """A module of scikit-learn, such as `ensemble`.

    Args:
        module: its name within the package.
        asked_by: what needs it, for the error, such as `evaluate, latent`.
        remedy: what else the user can do, for the error.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        import_module("sklearn")
        return import_module(f"sklearn.{module}")
    except ImportError:
        raise UserError(
            f"{asked_by} needs the package scikit-learn; install it with pip install 'mmtoolkit[sklearn]', or {remedy}"
        ) from None
