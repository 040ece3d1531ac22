"""Columns of bytes in memory: a new picture is bytes too, as it is in a file, and the type of the column stays."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import PIL.Image
import polars
import pyarrow as pa
import pytest

from mmt_attributes import Numeric
from mmt_image import Image
from untrained import untrained


def png(shade: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.full((8, 8), shade, np.uint8)).save(file, "png")
    return file.getvalue()


KNOWN = [png(10), None, png(200), None]
KINDS: dict[str, Callable[[], Any]] = {
    "Arrow": lambda: pa.table({"photo": KNOWN}),
    "Arrow views": lambda: pa.table({"photo": pa.array(KNOWN, pa.binary_view())}),
    "polars": lambda: polars.DataFrame({"photo": KNOWN}),
    "pandas": lambda: pandas.DataFrame({"photo": pandas.array(KNOWN, pandas.ArrowDtype(pa.binary()))}),
    "pandas objects": lambda: pandas.DataFrame({"photo": pandas.Series(KNOWN, dtype=object)}),
    "dictionary": lambda: {"photo": KNOWN},
}


@pytest.mark.parametrize("kind", KINDS)
def test_new_pictures_are_bytes(kind: str, tmp_path: Path) -> None:
    photo = Image(shape=(1, 8, 8), network="mlp")
    run = untrained({"photo": photo, "x": Numeric()}, tmp_path, train={"photo": KNOWN, "x": [1.0, 2.0, 3.0, 4.0]})
    table = KINDS[kind]()
    filled = run.impute(table)
    for old, new in zip(KNOWN, list(filled["photo"]), strict=True):
        cell = new.as_py() if isinstance(new, pa.Scalar) else new
        assert isinstance(cell, bytes)
        assert old in (None, cell)
        assert PIL.Image.open(io.BytesIO(cell)).size == (8, 8)
    assert getattr(filled["photo"], "dtype", None) == getattr(table["photo"], "dtype", None)
    assert getattr(filled["photo"], "type", None) == getattr(table["photo"], "type", None)
