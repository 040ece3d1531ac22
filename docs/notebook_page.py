"""Generates the page of the notebook: its texts, its code, and the outputs that it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NOTEBOOK = Path(__file__).parent / "examples" / "wines.ipynb"


def wines() -> str:
    """The notebook about wines as Markdown: its texts, its code, and the outputs that it holds."""
    notebook = json.loads(_NOTEBOOK.read_text(encoding="utf-8"))
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell))


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield re.sub(r"^# .*\n+", "", source)  # the page has its own title
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield f"```text\n{''.join(output['text'])}```"
        else:
            lines = "".join(output["data"]["text/html"]).splitlines()
            yield "\n".join(line.strip() for line in lines if line.strip())  # a blank line would end the HTML
