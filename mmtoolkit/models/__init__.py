"""The models that ship with mmtoolkit."""

from mmtoolkit.models.bivcca import BiVCCA
from mmtoolkit.models.cvae import CVAE
from mmtoolkit.models.jmvae import JMVAE
from mmtoolkit.models.mvae import MVAE
from mmtoolkit.models.vae import VAE

__all__ = ["CVAE", "JMVAE", "MVAE", "VAE", "BiVCCA"]
