"""Estimators for scikit-learn: fill the holes of a table, or embed its rows, by a multimodal generative model.

`Imputer` and `Embedder` are transformers. They need scikit-learn 1.6 or later: `pip install "mmtoolkit[sklearn]"`.
"""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 (new in 1.6)
except ImportError as error:
    raise ImportError(
        "mmtoolkit.sklearn needs scikit-learn 1.6 or later; install it with pip install 'mmtoolkit[sklearn]'"
    ) from error

from mmtoolkit.sklearn.embedder import Embedder
from mmtoolkit.sklearn.imputer import Imputer

__all__ = ["Embedder", "Imputer"]
