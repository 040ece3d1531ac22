"""A small release of CelebA, drawn: ellipses for faces, in the official layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ATTRIBUTES = [
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]
PARTITION = "000000111222"  # of the pictures 1, 2, …: six to train, three to validate, three to test
NAMES = [f"{number:06d}.jpg" for number in range(1, len(PARTITION) + 1)]
VALUES: NDArray[np.int8] = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (len(NAMES), len(ATTRIBUTES)))
SIZE = (64, 78)
LOST = 3  # the number of the picture on which no face was found
UNKNOWN = 5  # that of the picture that the landmark file does not list


def face(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A coloured face, another for each number."""
    width, height = size
    picture = Image.new("RGB", size, (20 * number % 256, 90, 200 - 10 * number))
    draw = ImageDraw.Draw(picture)
    shift = width * number // 100
    draw.ellipse([0.2 * width + shift, 0.2 * height, 0.7 * width + shift, 0.85 * height], fill=(230, 190, 160))
    for x in (0.33, 0.53):
        draw.ellipse(
            [x * width + shift, 0.45 * height, (x + 0.08) * width + shift, 0.5 * height], fill=(20, 20 * number, 60)
        )
    draw.ellipse([0.36 * width + shift, 0.66 * height, 0.55 * width + shift, 0.72 * height], fill=(180, 30, 40))
    return picture


def points(number: int) -> NDArray[np.int16]:
    """68 landmarks, (x, y) in the pixels of a picture of 178x218."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.stack([88 - 45 * np.cos(turn), 115 + 70 * np.sin(turn)], 1)
    brows = [np.stack([x + np.arange(5) * 8, 100 - np.array([0, 4, 5, 4, 0])], 1) for x in (48, 94)]
    nose = np.array([[88, 110], [88, 120], [88, 128], [88, 136], [78, 142], [83, 144], [88, 146], [93, 144], [98, 142]])
    ring = np.linspace(0, 2 * np.pi, 7)[:6]
    eyes = [np.stack([x + 9 * np.cos(ring), 112 + 4 * np.sin(ring)], 1) for x in (66, 110)]
    ring = np.linspace(0, 2 * np.pi, 21)[:20]
    mouth = np.stack([88 + 20 * np.cos(ring), 163 + 8 * np.sin(ring)], 1)
    found = np.concatenate([jaw, *brows, nose, *eyes, mouth])
    points: NDArray[np.int16] = np.rint(found + np.array([number, -number])).astype(np.int16)
    return points


def attribute_lines() -> list[str]:
    """The official list of attributes, line by line."""
    rows = [f"{name} {' '.join(f'{value:2d}' for value in row)}" for name, row in zip(NAMES, VALUES, strict=True)]
    return [str(len(NAMES)), " ".join(ATTRIBUTES) + " ", *rows]


def partition_lines() -> list[str]:
    """The official list of the partition, line by line."""
    return [f"{name} {split}" for name, split in zip(NAMES, PARTITION, strict=True)]


def write_lines(path: Path, lines: list[str], end: str = "\r\n") -> None:
    """A text file with the line ends of the release."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def write_landmarks(path: Path) -> None:
    """The landmarks of all pictures but UNKNOWN; no face was found on LOST."""
    numbers = [number for number in range(1, len(NAMES) + 1) if number != UNKNOWN]
    np.savez(
        path,
        image_id=np.array(numbers, np.int32),
        points=np.stack([points(number) for number in numbers]),
        detected=np.array([number != LOST for number in numbers]),
    )


def write_release(root: Path, landmarks: bool = False, size: tuple[int, int] = SIZE) -> Path:
    """A release in a folder, with or without a file of landmarks."""
    (root / "img_align_celeba").mkdir(parents=True)
    for number, name in enumerate(NAMES, start=1):
        face(number, size).save(root / "img_align_celeba" / name, quality=95)
    write_lines(root / "list_attr_celeba.txt", attribute_lines())
    write_lines(root / "list_eval_partition.txt", partition_lines())
    if landmarks:
        write_landmarks(root / "landmarks68.npz")
    return root


def pack(root: Path, inside: str = "img_align_celeba/") -> Path:
    """Put the pictures of a release into a zip archive in the place of their folder."""
    archive = root / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((root / "img_align_celeba").iterdir()):
            file.write(path, inside + path.name)
            path.unlink()
    (root / "img_align_celeba").rmdir()
    return archive
