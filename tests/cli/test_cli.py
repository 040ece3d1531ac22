"""The command line: statuses, streams, and one clear line for what the user can mend."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image as PILImage

from facts import assert_facts
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.schema.schema import json_schema
from runs import Ended, mmt, mmt_process, sets

SCHEMA = """\
name: mine
data: {kind: fashion_mini, rows: {train: 40, valid: 10, test: 10}}
modalities:
  image: {kind: image, shape: [1, 28, 28], network: mlp}
  label: {kind: label}
model: {kind: mvae, latent_dim: 2}
train: {epochs: 1, batch_size: 20}
"""


def assert_refused(ended: Ended, *facts: str) -> None:
    """Status 2, one line that states the facts in this order, no traceback."""
    assert ended.status == 2, (ended.status, ended.out, ended.err)
    assert "Traceback" not in ended.err
    (line,) = [line for line in ended.err.splitlines() if not line.startswith("preparing ")]
    assert_facts(line, *facts)


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(SCHEMA)
    return path


def changed(schema: Path, old: str, new: str) -> Path:
    text = schema.read_text()
    assert old in text
    schema.write_text(text.replace(old, new))
    return schema


def test_misspelt_key(schema: Path) -> None:
    assert_refused(
        mmt("check", changed(schema, "latent_dim", "latent_dims")),
        f"{schema}:6: model.latent_dims: ",
        "unknown key",
        "'latent_dim'",
    )


def test_misspelt_kind(schema: Path) -> None:
    assert_refused(
        mmt("check", changed(schema, "kind: image", "kind: imge")),
        f"{schema}:4: modalities.image.kind: ",
        "modality",
        "'imge'",
        "'image'",
    )


def test_misspelt_catalogue_name() -> None:
    assert_refused(
        mmt("run", "fashon_mini"),
        "fashon_mini: ",
        "file",
        "schema",
        "'fashion_mini'",
        "mmt list schemas",
    )


def test_wrong_type(schema: Path) -> None:
    assert_refused(
        mmt("check", changed(schema, "epochs: 1", "epochs: many")),
        f"{schema}:7: train.epochs: ",
        "'many'",
        "; ",
        "whole number",
    )


def test_missing_schema_file(tmp_path: Path) -> None:
    assert_refused(mmt("run", tmp_path / "none.yaml"), "none.yaml: ", "no such file", "; ", "schema file")


def test_all_faults_at_once(schema: Path) -> None:
    changed(schema, "latent_dim: 2", "latent_dim: -2")
    changed(schema, "batch_size", "batchsize")
    ended = mmt("run", schema)
    assert ended.status == 2
    first, second = ended.err.splitlines()
    assert first.startswith(f"{schema}:6: model.latent_dim: ")
    assert second.startswith(f"{schema}:7: train.batchsize: ")
    assert "'batch_size'" in second


def idx_folder(tmp_path: Path) -> Path:
    """A copy of the bundled files."""
    bundled = Path(str(resources.files("mmt_registry"))) / "datasets" / "fashion_mini"
    folder = tmp_path / "data"
    folder.mkdir()
    for path in bundled.glob("*.gz"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_missing_data_file(schema: Path, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert_refused(
        mmt("check", schema, "--set", f"data.root={folder}"),
        "t10k-labels-idx1-ubyte: ",
        "no such file",
        "t10k-labels-idx1-ubyte.gz",
        "; ",
    )


def test_truncated_file(schema: Path, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:5000], 1))
    assert_refused(
        mmt("check", schema, "--set", f"data.root={folder}"),
        f"{path}: ",
        "header",
        "8,624,000 bytes",
        "4,984",
        "; fetch it again",
    )


def test_file_that_is_not_idx(schema: Path, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(b"<html>not found</html>")
    assert_refused(
        mmt("check", schema, "--set", f"data.root={folder}"), f"{path}: cannot be read: ", "; fetch it again"
    )


def test_data_set_that_is_not_here_still_gives_shapes_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMT_DATA", str(tmp_path))
    monkeypatch.setattr("mmtoolkit.catalogue.shipped.data_folders", lambda: [tmp_path])
    ended = mmt("check", "mnist", "--json")
    assert ended.status == 2
    assert json.loads(ended.out)["parameters"] == {"total": 2_588_186, "inference": 1_063_680}
    assert_refused(ended, "data: ", "mnist", "not on this machine", "mmt data get mnist")


def test_label_outside_the_classes(schema: Path) -> None:
    ended = mmt("check", changed(schema, "{kind: label}", "{kind: label, classes: [Bag, Coat]}"))
    assert ended.status == 2
    assert_facts(ended.err.splitlines()[-1], "test, column label: ", " of its 10 cells", "mend")
    assert_facts(ended.err, "train row 0, column label: ", "'Ankle boot'", "2 classes", "; ")


def test_column_that_does_not_exist(schema: Path) -> None:
    assert_refused(
        mmt("check", changed(schema, "{kind: label}", "{kind: label, column: lable}")),
        f"{schema}:5: modalities.label: ",
        "no column 'lable'",
        "'label'",
    )


def test_array_of_another_shape(schema: Path) -> None:
    ended = mmt(
        "check",
        changed(schema, "network: mlp", "network: mlp, resize: error").read_text()
        and changed(schema, "[1, 28, 28]", "[1, 30, 30]"),
    )
    assert ended.status == 2
    assert_facts(ended.err, "train row 0, column image: ", "28x28", "30x30", "; ", "resize", "crop", "stretch")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("a: &a [x]\nb: *a\n", (":2: ", "*a", "alias", "; ", "write the value out")),
        ("a: !!python/object:os.system {}\n", (":1: ", "tag:yaml.org,2002:python/object:os.system", "; ", "remove")),
        ("name: a\nname: b\n", (":2: name: ", "twice", "line 1", "; ", "remove")),
        ("name: [a\n", (":2: ", "YAML", "; ", "mend the line")),
        ("", (": ", "empty", "; ", "schema")),
        ("- a\n", (": ", "mapping", "; ", "name, data, modalities")),
    ],
)
def test_yaml_that_is_refused(text: str, facts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert_refused(mmt("check", path), str(path), *facts)


def test_yaml_bomb(tmp_path: Path) -> None:
    lines = ["a0: &a0 [lol, lol]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    ended = mmt("check", tmp_path / "bomb.yaml")
    assert ended.status == 2
    assert_facts(ended.err, "bomb.yaml:2: ", "*a0", "alias")


def test_set_of_an_unknown_key(schema: Path) -> None:
    assert_refused(mmt("check", schema, "--set", "train.epoch=3"), "--set train.epoch: ", "unknown key", "'epochs'")
    assert_refused(mmt("check", schema, "--set", "trains.epochs=3"), "--set trains.epochs: ", "unknown key", "'train'")
    assert_refused(
        mmt("check", schema, "--set", "epochs"),
        "--set epochs: ",
        "key.path=value",
        "; ",
        "--set train.epochs=10",
    )


@pytest.mark.slow
def test_folder_that_holds_a_run(schema: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert mmt("run", schema, "--out", out).status == 0
    assert_refused(
        mmt("run", schema, "--out", out),
        f"{out}: ",
        "run",
        "; ",
        "--resume",
        "--out",
    )


def test_output_that_cannot_be_written(schema: Path) -> None:
    assert_refused(
        mmt("run", schema, "--out", "/proc/mmt/run"),
        "/proc/mmt/run: cannot be written: ",
        "; ",
        "writable",
        "elsewhere",
    )


@pytest.mark.slow
def test_disk_that_is_full(schema: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    out = tmp_path / "run"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from mmtoolkit.cli import main; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000,) * 2); "
        f"sys.argv = ['mmt', 'run', {str(schema)!r}, '--out', {str(out)!r}]; main()"
    )
    assert mmt("check", schema).status == 0  # prepared before the limit
    ended = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "cannot be written" in ended.stderr.splitlines()[-1]
    assert not list(out.rglob(".*"))
    assert not (out / "checkpoint").exists()


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    for command in ("evaluate", "sample", "report", "compare"):
        assert_refused(mmt(command, tmp_path), f"{tmp_path}: ", "no run", "schema.yaml")


@pytest.mark.slow
def test_given_that_cannot_be_read(schema: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert mmt("run", schema, "--out", out).status == 0
    assert_refused(
        mmt("sample", out, "--given", "label=Sandel"),
        "--given label=Sandel: ",
        "'Sandel'",
        "'Sandal'",
    )
    assert_refused(mmt("sample", out, "--given", "lable=Bag"), "--given lable=Bag: ", "no modality 'lable'")
    assert_refused(mmt("sample", out, "--given", "Sandal"), "--given Sandal: ", "no modality 'Sandal'", "image, label")
    assert_refused(mmt("sample", out, "--out", tmp_path / "s.gif"), "s.gif: ", ".png, .csv, .tsv, .parquet")
    broken = tmp_path / "broken.png"
    PILImage.new("L", (28, 28)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    assert_refused(
        mmt("sample", out, "--given", f"image={broken}"),
        f"--given image={broken}: {broken}: ",
        "picture",
    )
    assert_refused(mmt("evaluate", out, "--split", "tets"), "split 'tets'", "'test'")
    assert_refused(mmt("evaluate", out, "--set", "train.epochs=3"), "--set train.epochs=3: ", "trained run", "evaluate")


def test_usage_errors_end_with_2() -> None:
    assert mmt("run").status == 2
    assert mmt("no-such-command").status == 2


@pytest.mark.slow
def test_json_is_all_that_is_on_stdout(schema: Path, tmp_path: Path) -> None:
    ended = mmt("run", schema, "--out", tmp_path / "run", "--json")
    assert ended.status == 0
    assert json.loads(ended.out) == json.loads((tmp_path / "run" / "results.json").read_text())
    assert "epoch 1/1" in ended.err


def test_check_reports_rows_missing_cells_shapes_and_counts(schema: Path) -> None:
    ended = mmt("check", schema, "--json", "--set", "data.supervision={keep: 0.5}")
    report = json.loads(ended.out)
    assert report["splits"]["train"]["rows"] == 40
    assert 0 < report["splits"]["train"]["missing"]["label"] < 1
    assert report["splits"]["test"]["missing"] == {"image": 0, "label": 0}
    assert report["modalities"]["image"]["shape"] == [1, 28, 28]
    assert report["terms"] == ["log p(image)", "log p(label)", "KL"]


def test_plugins_are_listed_with_where_they_come_from() -> None:
    rows = json.loads(mmt("plugins", "--json").out)["components"]
    version = json.loads(mmt("plugins", "--json").out)["components"][0]["version"]
    assert {
        "kind": "image",
        "family": "modality",
        "class": "mmt_image.image.Image",
        "distribution": "mmtoolkit",
        "version": version,
    } in rows
    families = list(dict.fromkeys(row["family"] for row in rows))
    assert families[:7] == ["modality", "architecture", "likelihood", "prior", "model", "source", "evaluator"]


def test_the_json_schema_in_the_registry_is_fresh() -> None:
    file = Path(str(resources.files("mmt_registry"))) / "schema.json"
    assert json.loads(file.read_text()) == json_schema(load_plugins()), "make schema writes it again"
    assert json.loads(mmt("schema").out) == json.loads(file.read_text())


def test_the_catalogue_is_listed() -> None:
    ended = mmt("list", "--json")
    assert set(json.loads(ended.out)["schemas"]) >= {"fashion_mini", "mnist", "fashion_mnist"}
    assert json.loads(ended.out)["datasets"]["fashion_mini"]["where"] == "bundled"


def test_an_entry_of_the_catalogue_is_printed_as_it_stands() -> None:
    mnist = Path(str(resources.files("mmt_registry"))) / "schemas" / "mnist.yaml"

    assert mmt("list", "schemas", "mnist").out == mnist.read_text()
    assert json.loads(mmt("list", "schemas", "mnist", "--json").out)["model"] == {"kind": "mvae", "latent_dim": 64}
    assert json.loads(mmt("list", "published", "wu_goodman_2018", "--json").out)["table2"]
    assert "half" in mmt("list", "models", "fashion_mini").out
    assert_refused(mmt("list", "schemas", "mnits"), "mnits: ", "did you mean 'mnist'", "; ", "mmt list schemas")
    assert_refused(mmt("list", "plugins", "mmt-counts"), "plugins", "; ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "unloaded"),
    [
        (["--help"], ["torch", "mmt_image", "pydantic"]),
        (["list"], ["torch", "mmt_image"]),
        (["compare", "--help"], ["torch", "mmt_image"]),
        (["data", "--help"], ["torch", "mmt_image"]),
        (["check", "fashion_mini"], ["lightning_fabric", "torchmetrics", "matplotlib"]),
    ],
)
def test_commands_load_no_more_than_they_need(arguments: list[str], unloaded: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['mmt', *{arguments!r}]\nfrom mmtoolkit.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {unloaded!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "[]", ended.stderr


@pytest.mark.slow
def test_a_second_process_trains_by_module_name(schema: Path, tmp_path: Path) -> None:
    ended = mmt_process("run", schema, "--out", tmp_path / "run", *sets("evaluate=[{kind: elbo}]"))
    assert ended.status == 0, ended.err
    assert "elbo on test" in ended.out


def test_the_plugin_option_may_stand_anywhere(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from typing import Literal\nfrom mmt_attributes import Label\nfrom mmtoolkit import hookimpl\n"
        "class Mine(Label):\n    kind: Literal['mine'] = 'mine'\n"
        "@hookimpl\ndef mmt_components():\n    return [Mine]\n"
    )
    for arguments in (["--plugin", plugin, "plugins", "--json"], ["plugins", "--json", f"--plugin={plugin}"]):
        kinds = [row["kind"] for row in json.loads(mmt(*arguments).out)["components"]]
        assert "mine" in kinds


def test_an_entry_of_an_evaluator_is_checked_before_anything_is_trained(schema: Path) -> None:
    entry = "{kind: prediction, entries: [{target: [lable]}]}"
    schema.write_text(f"{schema.read_text()}evaluate:\n  - {{kind: elbo}}\n  - {entry}\n")
    assert_refused(mmt("check", schema), f"{schema}:10: evaluate.1: ", "entries", "'lable'", "image, label")


def test_a_decoder_of_another_shape_is_found_by_check(tmp_path: Path) -> None:
    plugin = tmp_path / "wide.py"
    plugin.write_text(
        "from typing import Literal\nimport torch\nfrom torch import distributions, nn\n"
        "from mmt_attributes import Label\nfrom mmtoolkit import hookimpl\n"
        "class Head(nn.Linear):\n"
        "    def forward(self, z):\n"
        "        return distributions.Normal(super().forward(z), 1.0, validate_args=False)\n"
        "class Wide(Label):\n"
        "    kind: Literal['wide'] = 'wide'\n"
        "    def decoder(self, size):\n"
        "        return Head(size, 3)\n"
        "@hookimpl\ndef mmt_components():\n    return [Wide]\n"
    )
    path = tmp_path / "s.yaml"
    path.write_text(SCHEMA.replace("{kind: label}", "{kind: wide}"))
    assert_refused(mmt("--plugin", plugin, "check", path), "modalities.label: ", "decoder", "batch shape (4, 3)")


def test_devices_that_are_not_here(schema: Path, tmp_path: Path) -> None:
    commands: list[list[str | Path]] = [
        ["run", schema, "--out", tmp_path / "r"],
        ["sample", tmp_path],
        ["evaluate", tmp_path],
    ]
    for command in commands:
        ended = mmt(*command, "--device", "abacus")
        assert ended.status == 2
    assert_refused(mmt("run", schema, "--device", "abacus"), "--device abacus: ", "; ", "auto, cpu or cuda")


@pytest.mark.slow
def test_names_that_mean_something_to_others_are_drawn_as_they_are(tmp_path: Path) -> None:
    """Dollars are mathematics to matplotlib, brackets are styles to rich, and file systems have their limits."""
    from rich.console import Console

    from mmtoolkit import TrainingStart
    from mmtoolkit.cli.progress import BarWatcher

    plugin = tmp_path / "money.py"
    plugin.write_text(
        "from typing import Literal\nfrom mmtoolkit import Columns, Source, hookimpl\n"
        "class Money(Source):\n    kind: Literal['money'] = 'money'\n"
        "    def splits(self): return ('train', 'test')\n    def files(self): return []\n"
        "    def load(self, split): return Columns({'a': ['$5_$10', '$\\\\foo$', '[/b]'] * 8})\n"
        "@hookimpl\ndef mmt_components():\n    return [Money]\n"
    )
    path = tmp_path / "s.yaml"
    names = ["pulse [/min]", "$a_b$", "x" * 300, "a.b", "a_b"]
    modalities = "".join(f"  {json.dumps(name)}: {{kind: label, column: a}}\n" for name in names)
    path.write_text(
        f"name: money\ndata: {{kind: money}}\nmodalities:\n{modalities}model: {{kind: mvae, latent_dim: 2}}\n"
        "train: {epochs: 1}\nevaluate: [{kind: elbo}]\n"
    )
    ended = mmt("--plugin", plugin, "run", path, "--out", tmp_path / "run")
    assert ended.status == 0, ended.err
    assert "Samples given pulse [/min]" in (tmp_path / "run" / "report.html").read_text()
    bar = BarWatcher(Console(force_terminal=True, width=200, file=open(tmp_path / "bar", "w")))  # noqa: SIM115
    bar.begin(TrainingStart(folder=tmp_path, schema=None, epochs=1, done=0, steps=1, rows=1))
    terms = {"log p(pulse [/min])": 1.0}
    bar.epoch({"epoch": 1, "loss": 1.0, "terms": terms, "validation": None, "rows_per_second": 1.0})
    bar.close()
    assert "pulse [/min]" in (tmp_path / "bar").read_text()
