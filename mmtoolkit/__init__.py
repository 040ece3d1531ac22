"""Multimodal generative models for incomplete data.

The imports below are the one list of public names. Type checkers and editors read them as they stand. Python imports
each name when it is first used, so that `import mmtoolkit` is quick.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmtoolkit.base.errors import DataWarning as DataWarning
    from mmtoolkit.base.errors import UserError as UserError
    from mmtoolkit.base.meter import Meter as Meter
    from mmtoolkit.components import Banked as Banked
    from mmtoolkit.components import Better as Better
    from mmtoolkit.components import Columns as Columns
    from mmtoolkit.components import Component as Component
    from mmtoolkit.components import DataPath as DataPath
    from mmtoolkit.components import Entries as Entries
    from mmtoolkit.components import Evaluator as Evaluator
    from mmtoolkit.components import Faults as Faults
    from mmtoolkit.components import Modality as Modality
    from mmtoolkit.components import Model as Model
    from mmtoolkit.components import Network as Network
    from mmtoolkit.components import NumberModality as NumberModality
    from mmtoolkit.components import Parsed as Parsed
    from mmtoolkit.components import Part as Part
    from mmtoolkit.components import Picture as Picture
    from mmtoolkit.components import Prior as Prior
    from mmtoolkit.components import Proposal as Proposal
    from mmtoolkit.components import Records as Records
    from mmtoolkit.components import Run as Run
    from mmtoolkit.components import Scores as Scores
    from mmtoolkit.components import Source as Source
    from mmtoolkit.components import Supervision as Supervision
    from mmtoolkit.components import Table as Table
    from mmtoolkit.components import split_entries as split_entries
    from mmtoolkit.components.entries import Entry as Entry
    from mmtoolkit.components.entries import EntryEvaluator as EntryEvaluator
    from mmtoolkit.components.entries import scored_rows as scored_rows
    from mmtoolkit.components.hooks import hookimpl as hookimpl
    from mmtoolkit.components.listed import ListedNetwork as ListedNetwork
    from mmtoolkit.components.means import MeanWithError as MeanWithError
    from mmtoolkit.components.plugins import Plugin as Plugin
    from mmtoolkit.components.plugins import Plugins as Plugins
    from mmtoolkit.components.plugins import load_plugins as load_plugins
    from mmtoolkit.core.batch import Batch as Batch
    from mmtoolkit.core.batch import Observed as Observed
    from mmtoolkit.core.keyed import keyed_uniform as keyed_uniform
    from mmtoolkit.core.posterior import Gaussian as Gaussian
    from mmtoolkit.core.posterior import Posterior as Posterior
    from mmtoolkit.core.posterior import at_least_float32 as at_least_float32
    from mmtoolkit.core.posterior import product_of_experts as product_of_experts
    from mmtoolkit.core.posterior import product_with_prior as product_with_prior
    from mmtoolkit.core.prior import OrPrior as OrPrior
    from mmtoolkit.core.prior import PriorModule as PriorModule
    from mmtoolkit.core.prior import StandardNormal as StandardNormal
    from mmtoolkit.core.subsets import draw_subsets as draw_subsets
    from mmtoolkit.core.subsets import supports as supports
    from mmtoolkit.data.dataset import Dataset as Dataset
    from mmtoolkit.data.dataset import Split as Split
    from mmtoolkit.data.dataset import prepare as prepare
    from mmtoolkit.evaluators import Classifier as Classifier
    from mmtoolkit.evaluators import Elbo as Elbo
    from mmtoolkit.evaluators import Imputation as Imputation
    from mmtoolkit.evaluators import LogLikelihood as LogLikelihood
    from mmtoolkit.evaluators import Prediction as Prediction
    from mmtoolkit.evaluators.classifier import Task as Task
    from mmtoolkit.evaluators.log_likelihood import LikelihoodEntry as LikelihoodEntry
    from mmtoolkit.models import CVAE as CVAE
    from mmtoolkit.models import JMVAE as JMVAE
    from mmtoolkit.models import MVAE as MVAE
    from mmtoolkit.models import VAE as VAE
    from mmtoolkit.models import BiVCCA as BiVCCA
    from mmtoolkit.models.mvae import MVAENetwork as MVAENetwork
    from mmtoolkit.models.mvae import SubsetOptions as SubsetOptions
    from mmtoolkit.priors import FlowPrior as FlowPrior
    from mmtoolkit.priors import LaplacePrior as LaplacePrior
    from mmtoolkit.priors import MixturePrior as MixturePrior
    from mmtoolkit.priors import NormalPrior as NormalPrior
    from mmtoolkit.priors import StudentTPrior as StudentTPrior
    from mmtoolkit.runs.loading import load as load
    from mmtoolkit.runs.report import write_report as write_report
    from mmtoolkit.runs.run import execute as execute
    from mmtoolkit.runs.run import run as run
    from mmtoolkit.runs.trained import TrainedRun as TrainedRun
    from mmtoolkit.schema.schema import Schema as Schema
    from mmtoolkit.schema.schema import parse_schema as parse_schema
    from mmtoolkit.schema.schema import read_schema as read_schema
    from mmtoolkit.schema.train import EpochSampling as EpochSampling
    from mmtoolkit.schema.train import TrainOptions as TrainOptions
    from mmtoolkit.sources import MNIST as MNIST
    from mmtoolkit.sources import Arrays as Arrays
    from mmtoolkit.sources import CelebA as CelebA
    from mmtoolkit.sources import CelebAVision as CelebAVision
    from mmtoolkit.sources import FashionMini as FashionMini
    from mmtoolkit.sources import FashionMNIST as FashionMNIST
    from mmtoolkit.sources import HuggingFace as HuggingFace
    from mmtoolkit.sources import MultiMNIST as MultiMNIST
    from mmtoolkit.sources import TableSource as TableSource
    from mmtoolkit.tables import FilesBeside as FilesBeside
    from mmtoolkit.tables import Reading as Reading
    from mmtoolkit.tables.cells import Cells as Cells
    from mmtoolkit.tables.marks import Marks as Marks
    from mmtoolkit.tables.summary import ColumnSummary as ColumnSummary
    from mmtoolkit.training.devices import new_fabric as new_fabric
    from mmtoolkit.training.networks import build as build
    from mmtoolkit.training.trainer import Trainer as Trainer
    from mmtoolkit.training.trainer import TrainingOutcome as TrainingOutcome
    from mmtoolkit.training.watcher import TrainingStart as TrainingStart
    from mmtoolkit.training.watcher import Watcher as Watcher
    from mmtoolkit.using.imputing import ImputeSummary as ImputeSummary
else:
    from mmtoolkit.base.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__)
