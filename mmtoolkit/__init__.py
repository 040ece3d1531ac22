"""Multimodal generative models for incomplete data.

Names are imported when they are first used, so that `import mmtoolkit` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmtoolkit.base.errors import UserError
    from mmtoolkit.catalogue.plugins import Plugins, load_plugins
    from mmtoolkit.components import (
        Banked,
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
        Picture,
        Proposal,
        Records,
        Run,
        Scores,
        Source,
        Supervision,
        Table,
        split_entries,
    )
    from mmtoolkit.components.entries import Entry, EntryEvaluator, scored_rows
    from mmtoolkit.components.hooks import hookimpl
    from mmtoolkit.components.listed import ListedNetwork
    from mmtoolkit.components.means import MeanWithError
    from mmtoolkit.core.batch import Batch, Observed
    from mmtoolkit.core.keyed import keyed_uniform
    from mmtoolkit.core.posterior import Gaussian, Posterior, at_least_float32, product_of_experts, product_with_prior
    from mmtoolkit.core.subsets import draw_subsets, supports
    from mmtoolkit.data.dataset import Dataset, Split, prepare
    from mmtoolkit.evaluators import Classifier, Elbo, Imputation, LogLikelihood, Prediction
    from mmtoolkit.models import CVAE, JMVAE, MVAE, VAE, BiVCCA
    from mmtoolkit.models.mvae import SubsetOptions
    from mmtoolkit.runs.loading import load
    from mmtoolkit.runs.report import write_report
    from mmtoolkit.runs.run import execute, run
    from mmtoolkit.runs.trained import TrainedRun
    from mmtoolkit.schema.schema import Schema, parse_schema, read_schema
    from mmtoolkit.schema.train import TrainOptions
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
    from mmtoolkit.tables.cells import Cells
    from mmtoolkit.training.devices import new_fabric
    from mmtoolkit.training.networks import build
    from mmtoolkit.training.trainer import Trainer

_HOME = {
    "Arrays": "sources",
    "Banked": "components",
    "Batch": "core.batch",
    "BiVCCA": "models",
    "CVAE": "models",
    "CelebA": "sources",
    "CelebAVision": "sources",
    "Cells": "tables.cells",
    "Classifier": "evaluators",
    "ColumnSummary": "components",
    "Columns": "components",
    "Component": "components",
    "DataPath": "components",
    "Dataset": "data.dataset",
    "Elbo": "evaluators",
    "Entries": "components",
    "Entry": "components.entries",
    "EntryEvaluator": "components.entries",
    "Evaluator": "components",
    "FashionMNIST": "sources",
    "FashionMini": "sources",
    "Gaussian": "core.posterior",
    "HuggingFace": "sources",
    "Imputation": "evaluators",
    "JMVAE": "models",
    "ListedNetwork": "components.listed",
    "LogLikelihood": "evaluators",
    "MNIST": "sources",
    "MVAE": "models",
    "MeanWithError": "components.means",
    "Modality": "components",
    "Model": "components",
    "MultiMNIST": "sources",
    "Network": "components",
    "NumberModality": "components",
    "Observed": "core.batch",
    "Parsed": "components",
    "Picture": "components",
    "Plugins": "catalogue.plugins",
    "Posterior": "core.posterior",
    "Prediction": "evaluators",
    "Proposal": "components",
    "Records": "components",
    "Run": "components",
    "Schema": "schema.schema",
    "Scores": "components",
    "Source": "components",
    "Split": "data.dataset",
    "SubsetOptions": "models.mvae",
    "Supervision": "components",
    "Table": "components",
    "TableSource": "sources",
    "TrainOptions": "schema.train",
    "TrainedRun": "runs.trained",
    "Trainer": "training.trainer",
    "UserError": "base.errors",
    "VAE": "models",
    "at_least_float32": "core.posterior",
    "build": "training.networks",
    "draw_subsets": "core.subsets",
    "execute": "runs.run",
    "hookimpl": "components.hooks",
    "keyed_uniform": "core.keyed",
    "load": "runs.loading",
    "load_plugins": "catalogue.plugins",
    "new_fabric": "training.devices",
    "parse_schema": "schema.schema",
    "prepare": "data.dataset",
    "product_of_experts": "core.posterior",
    "product_with_prior": "core.posterior",
    "read_schema": "schema.schema",
    "run": "runs.run",
    "scored_rows": "components.entries",
    "split_entries": "components",
    "supports": "core.subsets",
    "write_report": "runs.report",
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
    "Picture",
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
    "run",
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
