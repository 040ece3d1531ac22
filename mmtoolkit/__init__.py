"""Multimodal generative models for incomplete data.

Names are imported when they are first used, so that `import mmtoolkit` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmtoolkit.batch import Batch, Observed
    from mmtoolkit.components import (
        Banked,
        Columns,
        Component,
        DataPath,
        Entries,
        Evaluator,
        Modality,
        Model,
        Network,
        NumberModality,
        Parsed,
        Records,
        Run,
        Scores,
        Source,
        Supervision,
        Table,
        split_entries,
    )
    from mmtoolkit.dataset import Dataset, prepare
    from mmtoolkit.devices import new_fabric
    from mmtoolkit.errors import UserError
    from mmtoolkit.execution import execute
    from mmtoolkit.hookspecs import hookimpl
    from mmtoolkit.keyed import keyed_uniform
    from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
    from mmtoolkit.networks import build
    from mmtoolkit.plugins import load_plugins
    from mmtoolkit.posterior import Gaussian, Posterior, at_least_float32, product_of_experts, product_with_prior
    from mmtoolkit.report import write_report
    from mmtoolkit.run import TrainedRun, load
    from mmtoolkit.schema import Schema, TrainOptions, parse_schema, read_schema
    from mmtoolkit.subsets import draw_subsets
    from mmtoolkit.training import Trainer

_HOME = {
    "Banked": "components",
    "Batch": "batch",
    "BiVCCA": "models",
    "CVAE": "models",
    "Columns": "components",
    "Component": "components",
    "DataPath": "components",
    "Dataset": "dataset",
    "Entries": "components",
    "Evaluator": "components",
    "Gaussian": "posterior",
    "JMVAE": "models",
    "MVAE": "models",
    "Modality": "components",
    "Model": "components",
    "Network": "components",
    "NumberModality": "components",
    "Observed": "batch",
    "Parsed": "components",
    "Posterior": "posterior",
    "Records": "components",
    "Run": "components",
    "Schema": "schema",
    "Scores": "components",
    "Source": "components",
    "Supervision": "components",
    "Table": "components",
    "TrainOptions": "schema",
    "TrainedRun": "run",
    "Trainer": "training",
    "UserError": "errors",
    "VAE": "models",
    "at_least_float32": "posterior",
    "build": "networks",
    "draw_subsets": "subsets",
    "execute": "execution",
    "hookimpl": "hookspecs",
    "keyed_uniform": "keyed",
    "load": "run",
    "load_plugins": "plugins",
    "new_fabric": "devices",
    "parse_schema": "schema",
    "prepare": "dataset",
    "product_of_experts": "posterior",
    "product_with_prior": "posterior",
    "read_schema": "schema",
    "split_entries": "components",
    "write_report": "report",
}

__all__ = [
    "CVAE",
    "JMVAE",
    "MVAE",
    "VAE",
    "Banked",
    "Batch",
    "BiVCCA",
    "Columns",
    "Component",
    "DataPath",
    "Dataset",
    "Entries",
    "Evaluator",
    "Gaussian",
    "Modality",
    "Model",
    "Network",
    "NumberModality",
    "Observed",
    "Parsed",
    "Posterior",
    "Records",
    "Run",
    "Schema",
    "Scores",
    "Source",
    "Supervision",
    "Table",
    "TrainOptions",
    "TrainedRun",
    "Trainer",
    "UserError",
    "at_least_float32",
    "build",
    "draw_subsets",
    "execute",
    "hookimpl",
    "keyed_uniform",
    "load",
    "load_plugins",
    "new_fabric",
    "parse_schema",
    "prepare",
    "product_of_experts",
    "product_with_prior",
    "read_schema",
    "split_entries",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmtoolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmtoolkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
