"""`Embedder`: mean and log-variance of q(z | what a row has)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from mmtoolkit.sklearn import Embedder

NAMES = [f"{what}_{place}" for what in ("mean", "logvar") for place in range(3)]


def test_it_returns_what_the_run_embeds(embedder: Any, table: pd.DataFrame) -> None:
    expected = embedder.run_.embed(table)
    embedded = embedder.transform(table)
    assert list(embedded.columns) == list(embedder.get_feature_names_out()) == NAMES
    pd.testing.assert_frame_equal(embedded, expected)
    assert embedder.transform(pl.from_pandas(table)).equals(pl.from_pandas(expected))


def test_it_is_q_of_each_row(embedder: Any, table: pd.DataFrame) -> None:
    names = list(embedder.schema_.modalities)
    rows = table[names].astype(object).where(table[names].notna(), None).to_dict("records")
    q = embedder.run_.infer(rows)
    embedded = embedder.transform(table).to_numpy()
    np.testing.assert_allclose(embedded[:, :3], q.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(embedded[:, 3:], q.variance.log(), rtol=1e-5, atol=1e-6)


def test_means_alone_by_default(embedder: Any, table: pd.DataFrame) -> None:
    short = Embedder(run=embedder.run_).fit(table)
    assert list(short.get_feature_names_out()) == NAMES[:3]
    array = short.set_output(transform="default").transform(table)
    pd.testing.assert_frame_equal(array, embedder.transform(table)[NAMES[:3]])


def test_an_array_gives_an_array() -> None:
    numbers = np.random.default_rng(0).normal(size=(30, 3))
    numbers[0, 0] = np.nan
    embedded = Embedder(steps=1, latent_dim=2).fit_transform(numbers)
    assert (embedded.shape, embedded.dtype) == ((30, 2), np.float32)
    assert np.isfinite(embedded).all()
