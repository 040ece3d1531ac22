"""The evaluators that ship with mmtoolkit."""

from mmtoolkit.evaluators.classifier import Classifier
from mmtoolkit.evaluators.elbo import Elbo
from mmtoolkit.evaluators.imputation import Imputation
from mmtoolkit.evaluators.log_likelihood import LogLikelihood
from mmtoolkit.evaluators.prediction import Prediction

__all__ = ["Classifier", "Elbo", "Imputation", "LogLikelihood", "Prediction"]
