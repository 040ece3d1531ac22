"""Files and folders are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facts import assert_facts
from mmtoolkit.base import files
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import locked, make_folder, replacing, replacing_folder, set_aside, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_unwritable(error: UserError, path: Path, reason: str) -> None:
    """One line that names the file, the reason of the operating system and the remedy for it."""
    (line,) = error.faults
    remedy = "free some space" if reason == "No space left on device" else "make it writable"
    assert_facts(line, f"{path}: cannot be written: {reason}", "; ", remedy, "elsewhere")


def failing_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow over 1,000 bytes, as on a full disk; pytest's own output may again, right after."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


# A file.


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    failing_sync(monkeypatch, errno.ENOSPC)
    with pytest.raises(UserError) as raised:
        write_text(path, "new")
    assert_unwritable(raised.value, path, "No space left on device")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_outgrows_its_limit_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "x" * 900)
    with small_files(), pytest.raises(UserError) as raised:
        write_text(path, "x" * 100_000)
    assert_unwritable(raised.value, path, "File too large")
    assert path.read_text() == "x" * 900
    assert names(tmp_path) == ["a.txt"]


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_sync(monkeypatch, errno.EROFS)  # the super-user may write to a folder that chmod protects
    with pytest.raises(UserError) as raised:
        write_text(tmp_path / "a.txt", "new")
    assert_unwritable(raised.value, tmp_path / "a.txt", "Read-only file system")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nowhere/a.txt", "No such file or directory"),
        ("file/a.txt", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_places_where_no_file_can_be(place: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as raised:
        write_text(tmp_path / place, "new")
    assert_unwritable(raised.value, tmp_path / place, reason)
    assert names(tmp_path) == ["file", "folder"]


def test_an_unreadable_file_is_not_called_unwritable(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def copy() -> None:
        with replacing(tmp_path / "out" / "a.txt") as new:
            new.write_text((tmp_path / "in" / "a.txt").read_text())

    with pytest.raises(FileNotFoundError, match=r"in/a\.txt"):
        copy()
    assert names(tmp_path / "out") == []


def test_a_file_may_be_read_by_whom_the_mask_lets(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with replacing(tmp_path / "a") as new:
            new.chmod(0o600)  # as some writers do
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_json_holds_no_nan_and_keeps_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"ü": [1, None]})
    assert path.read_text(encoding="utf-8") == '{\n  "ü": [\n    1,\n    null\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert path.read_text(encoding="utf-8").startswith('{\n  "ü"')


# A folder.


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a"
    for text in ("old", "new"):
        with replacing_folder(path) as new:
            (new / text).write_text(text)
            (new / "sub").mkdir()
            (new / "sub" / "b").write_text(text)
    assert names(path) == ["new", "sub"]
    assert names(path.parent) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_folder_and_nothing_else(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").write_text("old")

    def write() -> None:
        with replacing_folder(path) as new:
            (new / "half").write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.mkdir()
    failing_sync(monkeypatch, errno.ENOSPC)
    with pytest.raises(UserError) as raised, replacing_folder(path) as new:
        (new / "b").write_text("new")
    assert_unwritable(raised.value, path, "No space left on device")
    assert names(path) == []
    assert names(tmp_path) == ["a"]


def test_killed_between_the_two_renames_the_old_folder_stands_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if target == path:
            raise KeyboardInterrupt
        return rename(self, target)

    def write() -> None:
        with replacing_folder(path) as new:
            (new / "new").write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert not path.exists()
    assert names(set_aside(path)) == ["old"]

    with replacing_folder(path) as new:
        (new / "newer").write_text("newer")
        assert names(set_aside(path)) == ["old"]
    assert names(path) == ["newer"]
    assert names(tmp_path) == ["a"]


def test_two_writers_of_one_folder_both_end_well(tmp_path: Path) -> None:
    path = tmp_path / "a"
    faults: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(50):
                with replacing_folder(path) as new:
                    (new / "b").write_text("whole")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert (path / "b").read_text() == "whole"


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for make in (make_folder, lambda path: replacing_folder(path).__enter__()):
        with pytest.raises(UserError) as raised:
            make(tmp_path / "file" / "a")
        assert_unwritable(raised.value, tmp_path / "file" / "a", "Not a directory")
    assert make_folder(tmp_path / "b" / "c") == make_folder(tmp_path / "b" / "c")
    assert names(tmp_path) == ["b", "file"]


def test_checksum_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.checksum(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_that_is_full(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a") as new:
            new.unlink()
            new.symlink_to("/dev/full")
            new.write_text("x")

    with pytest.raises(UserError) as raised:
        write()
    assert_unwritable(raised.value, tmp_path / "a", "No space left on device")
    assert names(tmp_path) == []


def test_faults_are_one_line_each_whatever_they_name() -> None:
    error = UserError(["a\nb; c", "ü\x1b[31m; \udcff"])
    assert error.faults == ["a\\nb; c", "ü\\x1b[31m; \\udcff"]
    assert str(error) == "a\\nb; c\nü\\x1b[31m; \\udcff"
    assert UserError("one").faults == ["one"]


def test_sweep_removes_only_half_written_files(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.0123abcd").mkdir()
    (tmp_path / ".checkpoint.0123abcd" / "weights").write_text("half")
    (tmp_path / ".results.json.89abcdef").write_text("half")
    whole = [tmp_path / ".checkpoint.old", tmp_path / ".hidden", tmp_path / "results.json"]
    for path in whole:
        path.write_text("whole")
    files.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(whole)


def test_a_busy_lock_is_waited_for_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    order = []

    def wait() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        with pytest.raises(UserError, match="somebody is there; wait"), locked(path, "somebody is there; wait"):
            order.append("never")
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    with locked(path, "somebody is there; wait"):
        order.append("third")
    assert order[-1] == "third"


def test_a_lock_where_nothing_can_be_written() -> None:
    with (
        pytest.raises(UserError, match="/proc/mmt: cannot be written: "),
        locked(Path("/proc/mmt/l")),
    ):
        pass
