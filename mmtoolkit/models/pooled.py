"""Networks whose joint posterior is one Gaussian, made of the experts of what a row has."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from mmtoolkit.components import Step, Terms, TermsNetwork
from mmtoolkit.core.batch import sent
from mmtoolkit.core.posterior import Gaussian


class PooledNetwork(TermsNetwork):
    """Networks with one expert for each unit, and a pooling function that joins those that a row has.

    The loss of a row is that of one term: minus E_q[sum_i λ_i log p(x_i | z)] - β KL(q(z | x) || p(z)), where q is the
    pool of all experts of the row. A model with another loss overrides `terms`.
    """

    @abstractmethod
    def pool(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The pool of each set of experts; the methods of a `Pooling` function.

        Args:
            experts: (U, B, D).
            members: (S, U, B) bool, the experts of each of S sets.

        Returns:
            (S, B, D); N(0, I) for a set without members.
        """

    def subsets(self) -> None:
        """Any subset."""
        return

    def posterior_of_experts(self, experts: Gaussian, members: Tensor) -> Gaussian:
        """The pool of the members: (B, D)."""
        return self.pool(experts, members.unsqueeze(0))[0]

    def joint(self, step: Step) -> Gaussian:
        """The pool of all experts that a row shows: (B, D)."""
        return self.posterior_of_experts(step.experts, sent(step.seen.T, step.batch.device))

    def terms(self, step: Step) -> Terms:
        """One, of the joint posterior, which reconstructs all that the row has."""
        return Terms(self.joint(step), step.once())
