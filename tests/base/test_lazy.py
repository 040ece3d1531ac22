"""Packages that import a name when it is first used."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazily.first import One as One
    from lazily.second import Two as Two
else:
    from mmtoolkit.base.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__)
"""
FILES = {"__init__": PACKAGE, "first": "One = 1", "second": "Two = 2\nThree = 3"}


@pytest.mark.parametrize("zipped", [False, True])
def test_names_are_imported_when_they_are_first_used(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "package.zip" if zipped else tmp_path
    for name, text in FILES.items():
        if zipped:
            with zipfile.ZipFile(place, "a") as archive:
                archive.writestr(f"lazily/{name}.py", text)
        else:
            (tmp_path / "lazily").mkdir(exist_ok=True)
            (tmp_path / "lazily" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(place)
    try:
        import lazily  # type: ignore[import-not-found]

        assert "lazily.first" not in sys.modules
        assert lazily.One == 1
        assert "lazily.second" not in sys.modules
        assert dir(lazily) == lazily.__all__ == ["One", "Two"]
        space: dict[str, object] = {}
        exec("from lazily import *", space)
        assert (space["One"], space["Two"]) == (1, 2)
        with pytest.raises(AttributeError, match="module 'lazily' has no attribute 'Three'"):
            _ = lazily.Three
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "lazily"]:
            del sys.modules[name]
