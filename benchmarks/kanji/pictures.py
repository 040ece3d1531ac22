"""Characters as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kanji.dictionary import Character

FONT = Path("/usr/share/fonts/truetype/fonts-japanese-gothic.ttf")
"""What Debian's packages of Japanese fonts, such as `fonts-ipafont-gothic`, put there."""

SIZE = 32  # pixels
_LARGE = 4  # times; drawn so large and then reduced, its lines are smooth


def draw_characters(characters: Iterable[Character], font: Path, folder: Path) -> list[str]:
    """Draw each character in black on white, into a file of a folder's subfolder. Return the paths from the folder.

    Raises:
        FileNotFoundError: the font is not there; the message says what to install.
    """
    if not font.exists():
        raise FileNotFoundError(
            f"{font}: there is no such font; install Debian's package fonts-ipafont-gothic, or give --font"
        )
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    side = SIZE * _LARGE
    face = ImageFont.truetype(str(font), round(0.94 * side))
    paths = []
    for character in characters:
        picture = Image.new("L", (side, side), 255)
        ImageDraw.Draw(picture).text((side / 2, side / 2), character.sign, fill=0, font=face, anchor="mm")
        path = f"pictures/{ord(character.sign):x}.png"
        picture.resize((SIZE, SIZE), Image.Resampling.BOX).save(folder / path)
        paths.append(path)
    return paths
