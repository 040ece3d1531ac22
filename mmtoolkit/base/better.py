"""Whether a score is better high or low."""

from typing import Literal

Better = Literal["high", "low"]
"""The direction of a score: `high` for an accuracy, `low` for an error."""
