"""The priors that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.priors.flow import FlowPrior
from mmtoolkit.priors.laplace import LaplacePrior
from mmtoolkit.priors.mixture import MixturePrior
from mmtoolkit.priors.normal import NormalPrior
from mmtoolkit.priors.student_t import StudentTPrior

__all__ = ["FlowPrior", "LaplacePrior", "MixturePrior", "NormalPrior", "StudentTPrior"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The priors that ship with mmtoolkit."""
    return [NormalPrior, LaplacePrior, StudentTPrior, MixturePrior, FlowPrior]
