"""A picture that is too large for WebP."""

import base64
import io
from pathlib import Path

from PIL import Image

from mmtoolkit.runs.report import _source


def test_a_picture_too_tall_for_webp_stands_in_the_report_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name, height in (("tall", 16_384), ("short", 20)):
        Image.new("RGB", (4, height), "red").save(tmp_path / "figures" / f"{name}.png")
        kind, _, data = _source(tmp_path, f"{name}.png").partition(";base64,")
        assert kind == ("data:image/png" if name == "tall" else "data:image/webp")
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (4, height)
