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
        Cells,
        Columns,
        ColumnSummary,
        Component,
        DataPath,
        Entries,
        Evaluator,
        Modality,
        Model,
        Network,
        NumberModality,
        Parsed,
        Proposal,
        Records,
        Run,
        Scores,
        Source,
        Supervision,
        Table,
        split_entries,
    )
    from mmtoolkit.dataset import Dataset, Split, prepare
    from mmtoolkit.devices import new_fabric
    from mmtoolkit.errors import UserError
    from mmtoolkit.evaluators import Classifier, Elbo, Imputation, LogLikelihood, Prediction
    from mmtoolkit.evaluators.entries import Entry, EntryEvaluator, scored_rows
    from mmtoolkit.evaluators.means import MeanWithError
    from mmtoolkit.execution import execute
    from mmtoolkit.hookspecs import hookimpl
    from mmtoolkit.keyed import keyed_uniform
    from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
    from mmtoolkit.models.listed import ListedNetwork
    from mmtoolkit.models.mvae import SubsetOptions
    from mmtoolkit.networks import build
    from mmtoolkit.plugins import Plugins, load_plugins
    from mmtoolkit.posterior import Gaussian, Posterior, at_least_float32, product_of_experts, product_with_prior
    from mmtoolkit.report import write_report
    from mmtoolkit.run import TrainedRun, load
    from mmtoolkit.schema import Schema, TrainOptions, parse_schema, read_schema
    from mmtoolkit.sources import (
        MNIST,
        Arrays,
        CelebA,
        CelebAVision,
        FashionMini,
        FashionMNIST,
        HuggingFace,
        MultiMNIST,
        TableSource,
    )
    from mmtoolkit.subsets import draw_subsets, supports
    from mmtoolkit.training import Trainer

_HOME = {
    "Arrays": "sources",
    "Banked": "components",
    "Batch": "batch",
    "BiVCCA": "models",
    "CVAE": "models",
    "CelebA": "sources",
    "CelebAVision": "sources",
    "Cells": "components",
    "Classifier": "evaluators",
    "ColumnSummary": "components",
    "Columns": "components",
    "Component": "components",
    "DataPath": "components",
    "Dataset": "dataset",
    "Elbo": "evaluators",
    "Entries": "components",
    "Entry": "evaluators.entries",
    "EntryEvaluator": "evaluators.entries",
    "Evaluator": "components",
    "FashionMNIST": "sources",
    "FashionMini": "sources",
    "Gaussian": "posterior",
    "HuggingFace": "sources",
    "Imputation": "evaluators",
    "JMVAE": "models",
    "ListedNetwork": "models.listed",
    "LogLikelihood": "evaluators",
    "MNIST": "sources",
    "MVAE": "models",
    "MeanWithError": "evaluators.means",
    "Modality": "components",
    "Model": "components",
    "MultiMNIST": "sources",
    "Network": "components",
    "NumberModality": "components",
    "Observed": "batch",
    "Parsed": "components",
    "Plugins": "plugins",
    "Posterior": "posterior",
    "Prediction": "evaluators",
    "Proposal": "components",
    "Records": "components",
    "Run": "components",
    "Schema": "schema",
    "Scores": "components",
    "Source": "components",
    "Split": "dataset",
    "SubsetOptions": "models.mvae",
    "Supervision": "components",
    "Table": "components",
    "TableSource": "sources",
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
    "scored_rows": "evaluators.entries",
    "split_entries": "components",
    "supports": "subsets",
    "write_report": "report",
}

__all__ = [
    "CVAE",
    "JMVAE",
    "MNIST",
    "MVAE",
    "VAE",
    "Arrays",
    "Banked",
    "Batch",
    "BiVCCA",
    "CelebA",
    "CelebAVision",
    "Cells",
    "Classifier",
    "ColumnSummary",
    "Columns",
    "Component",
    "DataPath",
    "Dataset",
    "Elbo",
    "Entries",
    "Entry",
    "EntryEvaluator",
    "Evaluator",
    "FashionMNIST",
    "FashionMini",
    "Gaussian",
    "HuggingFace",
    "Imputation",
    "ListedNetwork",
    "LogLikelihood",
    "MeanWithError",
    "Modality",
    "Model",
    "MultiMNIST",
    "Network",
    "NumberModality",
    "Observed",
    "Parsed",
    "Plugins",
    "Posterior",
    "Prediction",
    "Proposal",
    "Records",
    "Run",
    "Schema",
    "Scores",
    "Source",
    "Split",
    "SubsetOptions",
    "Supervision",
    "Table",
    "TableSource",
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
    "scored_rows",
    "split_entries",
    "supports",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmtoolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmtoolkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
