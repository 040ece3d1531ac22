"""The methods of filling that are compared, and what the result of each depends on."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from filling.filled import Fill

_HERE = Path(__file__).parent
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Method:
    """A method of filling.

    Attributes:
        name: by which `--methods` chooses it.
        title: in tables.
        module: whose `fill` does it.
        packages: whose versions the result depends on.
        seconds: the part of its seconds that tables show.
    """

    name: str
    title: str
    module: str
    packages: Sequence[str]
    seconds: str = "fill"

    @property
    def fill(self) -> Fill:
        fill: Fill = import_module(f"filling.{self.module}").fill
        return fill

    @property
    def versions(self) -> dict[str, str]:
        """Package -> version.

        Raises:
            PackageNotFoundError: a package is not installed.
        """
        return {package: version(package) for package in self.packages}

    def digest(self) -> str:
        """A short text that is another one when the code or a version has changed."""
        code = hashlib.sha256(repr(self.versions).encode())
        files = [_HERE / f"{self.module}.py", _HERE / "inputs.py", _HERE / "filled.py"]
        if self.name == "ours":
            spec = importlib.util.find_spec("mmtoolkit")
            assert spec is not None
            assert spec.origin is not None
            folders = [Path(spec.origin).parent, _ROOT / "plugins"]
            files += sorted(path for folder in folders for path in folder.rglob("*.py"))
        for path in files:
            code.update(path.read_bytes())
        return code.hexdigest()[:12]


_METHODS = [
    Method("ours", "mmtoolkit", "ours", ["mmtoolkit", "torch"], "run"),
    Method("mode", "mode, mean", "mode", ["pandas"]),
    Method("neighbours", "10-NN", "neighbours", ["numpy"]),
    Method("missforest", "missForest", "missforest", ["scikit-learn"]),
    Method("miceforest", "miceforest", "mice", ["miceforest", "lightgbm"]),
]

METHODS = {method.name: method for method in _METHODS}
"""Name -> method."""
