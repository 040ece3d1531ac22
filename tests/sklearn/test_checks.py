"""What scikit-learn promises of every estimator, by its own checks. None is expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from mmtoolkit.sklearn import Embedder, Imputer

ESTIMATORS = [Imputer(steps=1, device="cpu"), Embedder(steps=1, device="cpu")]
QUICK = ("no_attributes_set_in_init", "estimators_unfitted", "fit1d", "fit2d_1sample")
OF_FRAMES = (
    "dataframe_column_names_consistency",
    "set_output_transform",
    "set_output_transform_pandas",
    "set_output_transform_polars",
    "transformer_get_feature_names_out",
    "transformer_get_feature_names_out_pandas",
    "global_output_transform_pandas",
)
"""Checks for frames, which `parametrize_with_checks` leaves out."""


def check_named(name: str, estimator: Any) -> None:
    getattr(estimator_checks, f"check_{name}")(type(estimator).__name__, estimator)


@pytest.mark.parametrize("name", QUICK)
def test_some_promises(name: str) -> None:
    check_named(name, ESTIMATORS[0])


@pytest.mark.slow
@parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_all_promises(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_FRAMES)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_promises_about_frames(name: str, estimator: Any) -> None:
    check_named(name, estimator)
