"""What every test stands on: a cache of the session's own, none of the user's settings, small data as MNIST has it."""

from __future__ import annotations

import gzip
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from idx_files import idx_bytes


def pytest_configure() -> None:
    """Take Ctrl-C, which a shell's background jobs ignore, and so would the commands that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    monkeypatch.setenv("MMT_CACHE", str(session_cache))
    monkeypatch.delenv("MMT_DATA", raising=False)
    monkeypatch.delenv("MMT_PLUGINS", raising=False)


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache that this test alone uses."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MMT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """The folder of a small run over a table with every kind of column; nothing is to be written there."""
    from table_runs import trained

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMT_CACHE", str(session_cache))
        return trained(tmp_path_factory.mktemp("things"))


@pytest.fixture
def idx_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes the four files of MNIST with few rows: idx_folder(train=6, t10k=4, packed=True) -> their folder."""

    def write(train: int = 6, t10k: int = 4, packed: bool = True, side: int = 28) -> Path:
        folder = tmp_path / "idx"
        folder.mkdir(exist_ok=True)
        draw = np.random.default_rng(0)
        for part, rows in (("train", train), ("t10k", t10k)):
            images = draw.integers(0, 256, (rows, side, side), dtype=np.uint8)
            labels = np.arange(rows, dtype=np.uint8) % 10
            for what, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
                data = idx_bytes(array)
                if packed:
                    (folder / f"{part}-{what}.gz").write_bytes(gzip.compress(data, mtime=0))
                else:
                    (folder / f"{part}-{what}").write_bytes(data)
        return folder

    return write
