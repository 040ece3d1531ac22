"""The catalogue that ships with mmtoolkit: schemas, studies, data set cards, published results, installable plugins."""

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


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(_Entry):
    """One file of a data set."""

    name: str
    download: str = ""
    """The checksum of the file as it is downloaded, `algorithm:digest`."""
    contents: str
    """The SHA-256 of its contents, unpacked."""


class DataCard(_Entry):
    """What is known of a data set: where it comes from, its licence, files and splits."""

    title: str
    about: str
    licence: str
    homepage: str
    splits: dict[str, int]
    folders: tuple[str, ...] = ()
    """Other names that its folder may have."""
    bundled: bool = False
    mirrors: tuple[str, ...] = ()
    """Addresses of folders that hold the files, tried in order."""
    files: tuple[DataFile, ...] = ()
    by_hand: str = ""
    """What to get from the homepage, where no program may fetch it: `get x and y`."""


class PluginCard(_Entry):
    """A plugin that can be installed, and the kinds it brings."""

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


def results() -> dict[str, Path]:
    """The published results that studies can be compared with: name -> file."""
    return _documents("results")


def published(name: str) -> dict[str, Any]:
    """Published results as plain data: table -> columns, and row -> what stands there.

    Raises:
        UserError: there are none of that name.
    """
    known = results()
    if name not in known:
        raise UserError(
            f"there are no results {name!r} in the catalogue{did_you_mean(name, list(known))}; "
            "`mmt list results` shows them"
        )
    data: dict[str, Any] = _data(known[name])
    return data


def find_document(name: str | Path, what: str, several: str, known: Mapping[str, Path]) -> Path:
    """The file of a document named by its path, or by its name in the catalogue.

    Args:
        name: as the user gives it.
        what: what it is, such as `schema`.
        several: the same in the plural, as `mmt list` takes it.
        known: those of the catalogue, name -> file.

    Raises:
        UserError: there is neither.
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
    """A YAML file of the user's or the catalogue's.

    Raises:
        UserError: it cannot be read, or is no YAML; every fault with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from error
    return read_yaml(text, str(path))


def about(path: Path) -> str:
    """The first comment of a document of the catalogue, which says what it is for."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _data(path: Path) -> Any:
    return read_yaml(path.read_text(encoding="utf-8"), str(path)).data


def data_cards() -> dict[str, DataCard]:
    """The data set cards: name -> card."""
    return {name: DataCard.model_validate(_data(path)) for name, path in _documents("datasets").items()}


def plugin_cards() -> dict[str, PluginCard]:
    """The plugins one can install: distribution -> card."""
    return {name: PluginCard.model_validate(card) for name, card in (_data(registry() / "plugins.yaml") or {}).items()}


def install_hint(family: str, kind: str) -> str | None:
    """How to install the plugin that offers a kind, where the catalogue knows one."""
    for name, card in plugin_cards().items():
        if kind in card.kinds.get(family, ()):
            return f"{name} offers it: {card.install}"
    return None


def data_card(name: str) -> DataCard:
    """The card of a data set.

    Raises:
        UserError: there is none of that name.
    """
    cards = data_cards()
    if name not in cards:
        raise UserError(
            f"there is no data set {name!r} in the catalogue{did_you_mean(name, list(cards))}; "
            "`mmt list datasets` shows them"
        )
    return cards[name]


def find_data_set(name: str) -> Path:
    """The folder of a data set: bundled, or in $MMT_DATA, the user's or the system's data folder.

    Raises:
        UserError: it is in none of them; the line says where it was looked for and how to get it.
    """
    card = data_card(name)
    if card.bundled:
        return registry() / "datasets" / name
    folders = data_folders()
    for folder in folders:
        for called in (name, *card.folders):
            if os.path.isdir(folder / called):  # False, where Path's own raises, for what may not be looked at
                return (folder / called).resolve()
    searched = ", ".join(str(folder) for folder in folders)
    remedy = _by_hand(card, user_data_folder() / name) or f"run `mmt data get {name}`"
    raise UserError(
        f"the data set {name} is not on this machine (looked for {name} in {searched}); "
        f"{remedy}, or set MMT_DATA to the folder that holds {name}/"
    )


def _by_hand(card: DataCard, folder: Path) -> str:
    """How a user gets the data set without us; empty where `mmt data get` fetches it."""
    if not card.by_hand:
        return ""
    return f"{card.by_hand} from {card.homepage} and put them into {folder}"


def get_data_set(name: str, report: Callable[[str], None] = lambda line: None) -> Path:
    """Fetch a data set into the data folder, verified; files that are there and whole are kept.

    Raises:
        UserError: no mirror gave a file, a file's checksum is wrong, or users have to fetch this data set themselves.
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
        except (OSError, ValueError) as error:  # requests' are OSErrors; a wrong checksum is a mere ValueError
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
    """The SHA-256 of a file's contents, unpacked where its name ends in .gz; empty where it cannot be unpacked."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""
