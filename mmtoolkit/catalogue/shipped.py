"""The catalogue of mmtoolkit: schemas, studies, data sets, results, published ones too, and plugins to install."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import make_folder
from mmtoolkit.base.locations import data_folders, user_data_folder
from mmtoolkit.base.words import did_you_mean, error_text
from mmtoolkit.base.yaml12 import Document, read_yaml


class Entry(BaseModel):
    """A part of a document of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(Entry):
    """One file of a data set."""

    name: str
    download: str = ""
    """The checksum of the download, `algorithm:digest`."""
    contents: str
    """The SHA-256 of the uncompressed contents."""


class DataCard(Entry):
    """Facts about a data set: its homepage, licence, files and splits."""

    title: str
    about: str
    licence: str
    homepage: str
    splits: dict[str, int]
    folders: tuple[str, ...] = ()
    """Other names of its folder."""
    bundled: bool = False
    mirrors: tuple[str, ...] = ()
    """Addresses of folders with the files, in the order to try them."""
    files: tuple[DataFile, ...] = ()
    by_hand: str = ""
    """If no program may fetch the files: what you have to get from the homepage, as `get x and y`."""


class PluginCard(Entry):
    """A plugin that you can install, and its kinds."""

    install: str
    about: str
    kinds: dict[str, tuple[str, ...]]
    """Family -> kinds."""


def registry() -> Path:
    """The folder of the catalogue."""
    return Path(str(resources.files("mmt_registry")))


def _documents(folder: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((registry() / folder).glob("*.yaml"))}


def schemas() -> dict[str, Path]:
    """The catalogue's schemas: name -> file."""
    return _documents("schemas")


def studies() -> dict[str, Path]:
    """The catalogue's studies: name -> file."""
    return _documents("studies")


def publications() -> dict[str, Path]:
    """The published results with which you can compare studies: name -> file."""
    return _documents("published")


def published(name: str) -> dict[str, Any]:
    """Published results as plain data: table -> columns, and row -> values.

    Raises:
        UserError: the catalogue has no published results of that name.
    """
    files = publications()
    if name not in files:
        raise UserError(
            f"there are no published results {name!r} in the catalogue{did_you_mean(name, list(files))}; "
            "`mmt list published` shows them"
        )
    data: dict[str, Any] = _data(files[name])
    return data


def find_document(name: str | Path, what: str, several: str, known: Mapping[str, Path]) -> Path:
    """Find a document by its path or by its name in the catalogue.

    Args:
        name: the path or name, as the user writes it.
        what: the kind of document, such as `schema`.
        several: the same in the plural, as in `mmt list`.
        known: the documents of the catalogue, name -> file.

    Raises:
        UserError: there is no such file or name.
    """
    path = Path(name)
    try:
        is_file = path.is_file()
    except OSError as error:  # such as a name too long
        raise UserError(f"{name}: cannot be read: {error.strerror}; check the path") from error
    if is_file:
        return path
    if str(name) in known:
        return known[str(name)]
    if path.is_dir():
        raise UserError(f"{name}: is a folder; give the {what} file in it")
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise UserError(f"{name}: there is no such file; give a {what} file, or a name from `mmt list {several}`")
    raise UserError(
        f"{name}: is neither a file nor a {what} of the catalogue{did_you_mean(str(name), list(known))}; "
        f"`mmt list {several}` shows them"
    )


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        UserError: the file cannot be read, or is not YAML; every fault has its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from error
    return read_yaml(text, str(path))


def about(path: Path) -> str:
    """The first comment of a document of the catalogue, which describes it."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _data(path: Path) -> Any:
    return read_yaml(path.read_text(encoding="utf-8"), str(path)).data


def data_card_files() -> dict[str, Path]:
    """The files of the catalogue's data sets: name -> file."""
    return _documents("datasets")


def data_cards() -> dict[str, DataCard]:
    """The data set cards: name -> card."""
    return {name: DataCard.model_validate(_data(path)) for name, path in data_card_files().items()}


def plugin_cards() -> dict[str, PluginCard]:
    """The plugins that you can install: distribution -> card."""
    return {name: PluginCard.model_validate(card) for name, card in (_data(registry() / "plugins.yaml") or {}).items()}


def install_hint(family: str, kind: str) -> str | None:
    """How to install the plugin that offers a kind; None if the catalogue has no such plugin."""
    for name, card in plugin_cards().items():
        if kind in card.kinds.get(family, ()):
            return f"{name} offers it: {card.install}"
    return None


def data_card(name: str) -> DataCard:
    """The card of a data set.

    Raises:
        UserError: the catalogue has no data set of that name.
    """
    cards = data_cards()
    if name not in cards:
        raise UserError(
            f"there is no data set {name!r} in the catalogue{did_you_mean(name, list(cards))}; "
            "`mmt list datasets` shows them"
        )
    return cards[name]


def find_data_set(name: str) -> Path:
    """Find the folder of a data set: bundled, or in $MMT_DATA, the user's or the system's data folder.

    Raises:
        UserError: the data set is in none of them; the error names the folders and says how to get it.
    """
    card = data_card(name)
    if card.bundled:
        return registry() / "datasets" / name
    folders = data_folders()
    for folder in folders:
        for subfolder in (name, *card.folders):
            if os.path.isdir(folder / subfolder):  # Path.is_dir raises without permission
                return (folder / subfolder).resolve()
    searched = ", ".join(str(folder) for folder in folders)
    remedy = _by_hand(card, user_data_folder() / name) or f"run `mmt data get {name}`"
    raise UserError(
        f"the data set {name} is not on this machine (looked for {name} in {searched}); "
        f"{remedy}, or set MMT_DATA to the folder that holds {name}/"
    )


def _by_hand(card: DataCard, folder: Path) -> str:
    """How you get the data set yourself; empty if `mmt data get` fetches it."""
    if not card.by_hand:
        return ""
    return f"{card.by_hand} from {card.homepage} and put them into {folder}"


def get_data_set(name: str, report: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch a data set into the data folder and verify it; files that are already there and whole stay.

    Raises:
        UserError: no mirror has a file, the checksum of a file is wrong, or you have to fetch this data set yourself.
    """
    card = data_card(name)
    if card.bundled:
        return registry() / "datasets" / name
    if card.by_hand:
        try:
            folder = find_data_set(name)
        except UserError:
            how = _by_hand(card, user_data_folder() / name)
            raise UserError(f"{name} cannot be fetched by a program; {how} (licence: {card.licence})") from None
        report(f"{folder}: is here already; where a file is missing, {_by_hand(card, folder)}")
        return folder
    folder = make_folder(user_data_folder() / name)
    for file in card.files:
        if (folder / file.name).is_file() and contents_checksum(folder / file.name) == file.contents:
            report(f"{folder / file.name}: is here already")
            continue
        report(f"{folder / file.name}: fetching")
        _fetch(file, card.mirrors, folder)
    return folder


def _fetch(file: DataFile, mirrors: tuple[str, ...], folder: Path) -> None:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    faults = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            (folder / file.name).unlink(missing_ok=True)
            pooch.retrieve(url, known_hash=file.download or None, fname=file.name, path=folder)
        except (OSError, ValueError) as error:  # an error of requests is an OSError, a wrong checksum a ValueError
            wrong = not isinstance(error, OSError)
            faults.append(f"{url}: {'its checksum is wrong' if wrong else error_text(error)}")
            continue
        if contents_checksum(folder / file.name) == file.contents:
            return
        (folder / file.name).unlink()
        faults.append(f"{url}: the checksum of its contents is wrong")
    remedy = "try again later, or fetch it by hand"
    raise UserError([f"{fault}; {remedy} into {folder}" for fault in faults] or f"{file.name}: has no mirror; {remedy}")


def contents_checksum(path: Path) -> str:
    """The SHA-256 of a file's contents, uncompressed if its name ends in .gz; empty if that fails."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""
