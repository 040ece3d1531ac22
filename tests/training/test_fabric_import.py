"""Importing Fabric without torchmetrics, and with it where it is needed."""

import sys
from pathlib import Path
from unittest import mock

import pytest

from mmtoolkit.training.devices import _fabric_class


@pytest.mark.parametrize(
    "need",
    [
        "from torchmetrics import Metric",
        "import torchmetrics; Metric = torchmetrics.Metric",
        "from torchmetrics.metric import Metric",
    ],
)
def test_a_fabric_that_needs_torchmetrics_gets_it(need: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "torchmetrics/__init__.py": "from torchmetrics.metric import Metric\n",
        "torchmetrics/metric.py": "class Metric: pass\n",
        "lightning_fabric/__init__.py": f"import lightning_fabric.early\n{need}\nclass Fabric: metric = Metric\n",
        "lightning_fabric/early.py": "import torchmetrics\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.startswith(("lightning_fabric", "torchmetrics"))]:
            del sys.modules[name]
        fabric = _fabric_class()
        metric = sys.modules["torchmetrics"].Metric
        assert fabric.metric is metric  # type: ignore[attr-defined]
        assert sys.modules["lightning_fabric.early"].torchmetrics.Metric is metric


def test_a_fabric_that_compares_versions_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lightning_fabric.py").write_text("import torchmetrics\nclass Fabric: of = torchmetrics.__version__\n")
    monkeypatch.syspath_prepend(tmp_path)
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.startswith(("lightning_fabric", "torchmetrics"))]:
            del sys.modules[name]
        assert _fabric_class().of[0].isdigit()  # type: ignore[attr-defined]
        assert "torchmetrics" not in sys.modules
