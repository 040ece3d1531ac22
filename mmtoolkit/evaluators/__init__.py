"""The evaluators that ship with mmtoolkit."""

from mmtoolkit.evaluators.elbo import Elbo
from mmtoolkit.evaluators.prediction import Prediction

__all__ = ["Elbo", "Prediction"]
