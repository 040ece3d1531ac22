"""Whether a score is better high or low."""

from typing import Literal

Better = Literal["high", "low"]
"""The direction of a score: `high` as an accuracy's, or `low` as an error's."""
