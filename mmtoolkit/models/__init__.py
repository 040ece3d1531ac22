"""The models that ship with mmtoolkit."""

from mmtoolkit.models.mvae import MVAE, MVAENetwork

__all__ = ["MVAE", "MVAENetwork"]
