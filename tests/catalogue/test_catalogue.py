"""The catalogue: its cards, the search for data sets, and downloads, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from facts import assert_facts
from mmtoolkit.base.errors import UserError
from mmtoolkit.catalogue import shipped
from mmtoolkit.catalogue.shipped import contents_checksum, data_cards, find_data_set, get_data_set, install_hint
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.sources import IdxSource

CONTENTS = b"rows " * 4000
PACKED = gzip.compress(CONTENTS, mtime=0)


class Mirror(BaseHTTPRequestHandler):
    """Serves /FOLDER/x.gz: whole, wrong, cut off in mid-body, or not at all."""

    paths: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        type(self).paths.append(self.path)
        folder = self.path.split("/")[1]
        if folder == "nothing":
            self.send_error(404)
            return
        body = {"good": PACKED, "wrong": b"not what was promised", "cut": PACKED}[folder]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if folder == "cut" else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that MMT_DATA names."""
    Mirror.paths.clear()
    monkeypatch.setenv("MMT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "registry"
    (folder / "datasets").mkdir(parents=True)
    monkeypatch.setattr(shipped, "registry", lambda: folder)
    return folder


def card(registry: Path, *mirrors: str, files: int = 1, download: str | None = None) -> None:
    """Write the card of a data set `things` of the files x.gz, y.gz, …"""
    digest = f"md5:{hashlib.md5(PACKED).hexdigest()}" if download is None else download
    lines = ["title: t", "about: a", "licence: l", "homepage: h", "splits: {train: 1}", "folders: [Things, t]"]
    lines += [f"mirrors: [{', '.join(mirrors)}]", "files:"]
    contents = hashlib.sha256(CONTENTS).hexdigest()
    for name in "xyz"[:files]:
        lines.append(f"  - {{name: {name}.gz, download: '{digest}', contents: {contents}}}")
    (registry / "datasets" / "things.yaml").write_text("\n".join(lines) + "\n")


def fault_lines(name: str = "things") -> list[str]:
    with pytest.raises(UserError) as raised:
        get_data_set(name)
    return raised.value.faults


# What ships.


def test_cards_have_the_splits_of_their_sources() -> None:
    sources = [cls for cls in load_plugins().of_family("source").values() if issubclass(cls, IdxSource)]
    assert sources
    for source in sources:
        splits = {split: last - first for split, (_, first, last) in source.extents.items()}
        assert data_cards()[source.data_set].splits == splits


def test_cards_have_whole_checksums() -> None:
    for card in data_cards().values():
        assert bool(card.files) != bool(card.by_hand)
        assert card.bundled or card.by_hand or card.mirrors
        for file in card.files:
            assert len(bytes.fromhex(file.contents)) == 32
            assert card.bundled or len(bytes.fromhex(file.download.removeprefix("md5:"))) == 16


def test_bundled_files_have_the_checksums_of_their_cards() -> None:
    bundled = {name: card for name, card in data_cards().items() if card.bundled}
    assert "fashion_mini" in bundled
    for name, card in bundled.items():
        for file in card.files:
            assert contents_checksum(find_data_set(name) / file.name) == file.contents


def test_every_schema_has_a_first_comment() -> None:
    for name, path in shipped.schemas().items():
        assert len(shipped.about(path)) > 20, name


def test_plugin_cards_are_valid() -> None:
    shipped.plugin_cards()
    assert install_hint("modality", "nothing offers this") is None


def test_install_hint_names_plugin_and_command(registry: Path) -> None:
    (registry / "plugins.yaml").write_text("mmt-x: {install: pip install mmt-x, about: a, kinds: {modality: [x]}}\n")
    assert_facts(install_hint("modality", "x") or "", "mmt-x", "pip install mmt-x")
    assert install_hint("source", "x") is None


# The search for data sets.


def test_order_of_the_search(data: Path, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(registry)
    user, system = tmp_path / "user", tmp_path / "system"
    monkeypatch.setattr(platformdirs, "user_data_path", lambda _: user)
    monkeypatch.setattr(platformdirs, "site_data_path", lambda _: system)
    places = [
        data / "things",
        data / "Things",
        data / "t",
        user / "things",
        user / "t",
        system / "things",
        system / "t",
    ]
    for place in reversed(places):  # each goes before those after it
        place.mkdir(parents=True)
        assert find_data_set("things") == place


def test_a_bundled_data_set_needs_no_search(data: Path) -> None:
    (data / "fashion_mini").mkdir(parents=True)
    assert find_data_set("fashion_mini") == shipped.registry() / "datasets" / "fashion_mini"
    assert get_data_set("fashion_mini") == shipped.registry() / "datasets" / "fashion_mini"


def test_a_file_of_that_name_is_no_data_set(data: Path, registry: Path) -> None:
    card(registry)
    data.mkdir()
    (data / "things").write_text("")
    (data / "t").mkdir()
    assert find_data_set("things") == data / "t"


def test_the_error_of_absent_data_names_the_folders_and_the_command(
    data: Path, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card(registry)
    monkeypatch.setattr(platformdirs, "user_data_path", lambda _: tmp_path / "user")
    with pytest.raises(UserError) as raised:
        find_data_set("things")
    (line,) = raised.value.faults
    folders = f"{data}, {tmp_path / 'user'}, "
    assert_facts(line, "data set things", "not on this machine", folders, "; ", "mmt data get things", "MMT_DATA")


def test_unknown_data_set() -> None:
    with pytest.raises(UserError) as raised:
        find_data_set("mnst")
    (line,) = raised.value.faults
    assert_facts(line, "data set 'mnst'", "'mnist'", "mmt list datasets")


@pytest.mark.parametrize("folder", ["x" * 5000, "/proc/1/nowhere", "/dev/null"])
def test_odd_data_folders_hold_nothing(folder: str, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(registry)
    monkeypatch.setenv("MMT_DATA", folder)
    with pytest.raises(UserError, match="things is not on this machine"):
        find_data_set("things")


@pytest.mark.parametrize("variable", ["MMT_DATA", "MMT_CACHE"])
@pytest.mark.parametrize("value", ["~nobody-here/x", "a\udcff"])
def test_folders_that_are_no_path(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmtoolkit.base.locations import cache_folder, data_folders, user_data_folder

    monkeypatch.setenv(variable, value)
    for find in (cache_folder,) if variable == "MMT_CACHE" else (data_folders, user_data_folder):
        with pytest.raises(UserError) as raised:
            find()
        (line,) = raised.value.faults
        place = f"{variable}={value}".replace("\udcff", "\\udcff")
        assert_facts(line, f"{place}: ", "path", "; ", "correct")


# Downloads.


def test_a_good_file_is_fetched_and_then_kept(server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/good/", files=2)
    lines: list[str] = []
    assert get_data_set("things", lines.append) == data / "things"
    assert (data / "things" / "x.gz").read_bytes() == PACKED
    assert Mirror.paths == ["/good/x.gz", "/good/y.gz"]
    get_data_set("things", lines.append)
    assert Mirror.paths == ["/good/x.gz", "/good/y.gz"]
    for line, file, word in zip(lines, "xyxy", ["fetching"] * 2 + ["already"] * 2, strict=True):
        assert_facts(line, f"{data / 'things' / file}.gz: ", word)


def test_a_whole_file_stays_however_it_was_packed(server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/nothing")
    (data / "things").mkdir(parents=True)
    (data / "things" / "x.gz").write_bytes(gzip.compress(CONTENTS, compresslevel=1))
    get_data_set("things")
    assert Mirror.paths == []


DAMAGES = [b"", b"junk", PACKED[:-9], PACKED[:10] + b"\xff" * 30, PACKED[:-6] + b"!" + PACKED[-5:], PACKED + b"junk"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_fetched_again(damage: bytes, server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/good")
    (data / "things").mkdir(parents=True)
    (data / "things" / "x.gz").write_bytes(damage)
    get_data_set("things")
    assert (data / "things" / "x.gz").read_bytes() == PACKED


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("wrong", "checksum"),
        ("nothing", "404 Client Error: Not Found for url: "),
        ("cut", "bytes read, "),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_the_next_mirror_is_asked(
    bad: str, fault: str, server: str, registry: Path, data: Path
) -> None:
    card(registry, f"{server}/{bad}")
    (line,) = fault_lines()
    assert line.startswith(f"{server}/{bad}/x.gz: ")
    assert_facts(line, fault, "; ", "try again later", "by hand", str(data / "things"))
    assert list((data / "things").iterdir()) == []

    card(registry, f"{server}/{bad}", f"{server}/good")
    get_data_set("things")
    assert [path.name for path in (data / "things").iterdir()] == ["x.gz"]
    assert (data / "things" / "x.gz").read_bytes() == PACKED


def test_every_mirror_that_failed_is_named(server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/wrong", f"{server}/nothing", "http://127.0.0.1:9")
    lines = fault_lines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{server}/wrong/x.gz",
        f"{server}/nothing/x.gz",
        "http://127.0.0.1:9/x.gz",
    ]
    assert list((data / "things").iterdir()) == []


def test_contents_are_checked_where_the_download_has_no_checksum(server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/good", download="")
    get_data_set("things")
    card(registry, f"{server}/wrong", files=2, download="")
    (line,) = fault_lines()
    assert_facts(line, f"{server}/wrong/y.gz: ", "checksum", "contents", "; ")
    assert [path.name for path in (data / "things").iterdir()] == ["x.gz"]


def test_a_file_without_a_mirror(registry: Path) -> None:
    card(registry)
    (line,) = fault_lines()
    assert_facts(line, "x.gz: ", "no mirror", "; ", "by hand")


def test_a_folder_in_the_place_of_a_file(server: str, registry: Path, data: Path) -> None:
    card(registry, f"{server}/good")
    (data / "things" / "x.gz").mkdir(parents=True)
    (line,) = fault_lines()
    assert line.startswith(f"{server}/good/x.gz: [Errno 21] Is a directory: ")


def test_a_data_folder_that_cannot_be_made(server: str, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(registry, f"{server}/good")
    monkeypatch.setenv("MMT_DATA", "/dev/null")
    (line,) = fault_lines()
    assert_facts(line, "/dev/null/things: cannot be written: Not a directory", "; ", "elsewhere")
