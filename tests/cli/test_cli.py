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

from mmtoolkit.catalogue.plugins import load_plugins
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


def refused(done: Ended, *parts: str) -> None:
    """Status 2, one line that holds the parts, no traceback."""
    assert done.status == 2, (done.status, done.out, done.err)
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if not line.startswith("preparing ")]
    for part in parts:
        assert part in line, line


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
    refused(
        mmt("check", changed(schema, "latent_dim", "latent_dims")),
        f"{schema}:6: model.latent_dims: unknown key; did you mean 'latent_dim'?",
    )


def test_misspelt_kind(schema: Path) -> None:
    refused(
        mmt("check", changed(schema, "kind: image", "kind: imge")),
        f"{schema}:4: modalities.image.kind: there is no modality of kind 'imge'; did you mean 'image'?",
    )


def test_misspelt_catalogue_name() -> None:
    refused(
        mmt("run", "fashon_mini"),
        "fashon_mini: is neither a file nor a schema of the catalogue; did you mean 'fashion_mini'?",
        "mmt list schemas",
    )


def test_wrong_type(schema: Path) -> None:
    refused(
        mmt("check", changed(schema, "epochs: 1", "epochs: many")),
        f"{schema}:7: train.epochs: ",
        "not 'many'; give a whole number",
    )


def test_missing_schema_file(tmp_path: Path) -> None:
    refused(mmt("run", tmp_path / "none.yaml"), "none.yaml: there is no such file; give a schema file")


def test_all_faults_at_once(schema: Path) -> None:
    changed(schema, "latent_dim: 2", "latent_dim: -2")
    changed(schema, "batch_size", "batchsize")
    done = mmt("run", schema)
    assert done.status == 2
    first, second = done.err.splitlines()
    assert first.startswith(f"{schema}:6: model.latent_dim: ")
    assert second.startswith(f"{schema}:7: train.batchsize: unknown key; did you mean 'batch_size'?")


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
    refused(
        mmt("check", schema, "--set", f"data.root={folder}"),
        "t10k-labels-idx1-ubyte: there is no such file (nor t10k-labels-idx1-ubyte.gz); put it there",
    )


def test_truncated_file(schema: Path, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:5000], 1))
    refused(
        mmt("check", schema, "--set", f"data.root={folder}"),
        f"{path}: its header promises 8,624,000 bytes of data and 4,984 follow; fetch it again",
    )


def test_file_that_is_not_idx(schema: Path, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(b"<html>not found</html>")
    refused(mmt("check", schema, "--set", f"data.root={folder}"), f"{path}: cannot be read: ", "; fetch it again")


def test_data_set_that_is_not_here_still_gives_shapes_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMT_DATA", str(tmp_path))
    monkeypatch.setattr("mmtoolkit.catalogue.shipped.data_folders", lambda: [tmp_path])
    done = mmt("check", "mnist", "--json")
    assert done.status == 2
    assert json.loads(done.out)["parameters"] == {"total": 2_588_186, "inference": 1_063_680}
    refused(done, "data: the data set mnist is not on this machine", "mmt data get mnist")


def test_label_outside_the_classes(schema: Path) -> None:
    done = mmt("check", changed(schema, "{kind: label}", "{kind: label, classes: [Bag, Coat]}"))
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith("test, column label: and ")
    assert "train row 0, column label: 'Ankle boot' is none of the 2 classes; " in done.err


def test_column_that_does_not_exist(schema: Path) -> None:
    refused(
        mmt("check", changed(schema, "{kind: label}", "{kind: label, column: lable}")),
        f"{schema}:5: modalities.label: the data has no column 'lable'; did you mean 'label'?",
    )


def test_array_of_another_shape(schema: Path) -> None:
    done = mmt(
        "check",
        changed(schema, "network: mlp", "network: mlp, resize: error").read_text()
        and changed(schema, "[1, 28, 28]", "[1, 30, 30]"),
    )
    assert done.status == 2
    assert "train row 0, column image: it has 28x28 pixels, not 30x30; set resize to crop or stretch" in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x]\nb: *a\n", ":2: *a is an alias, which is not read; write the value out"),
        ("a: !!python/object:os.system {}\n", ":1: tag:yaml.org,2002:python/object:os.system is a tag"),
        ("name: a\nname: b\n", ":2: name: stands twice, first in line 1; remove one"),
        ("name: [a\n", "is not YAML: "),
        ("", ": is empty; write a schema there"),
        ("- a\n", ": is not a mapping; a schema has the keys name, data, modalities"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    refused(mmt("check", path), message)


def test_yaml_bomb(tmp_path: Path) -> None:
    lines = ["a0: &a0 [lol, lol]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    done = mmt("check", tmp_path / "bomb.yaml")
    assert done.status == 2
    assert "bomb.yaml:2: *a0 is an alias" in done.err


def test_set_of_an_unknown_key(schema: Path) -> None:
    refused(mmt("check", schema, "--set", "train.epoch=3"), "--set train.epoch: unknown key; did you mean 'epochs'?")
    refused(mmt("check", schema, "--set", "trains.epochs=3"), "--set trains.epochs: unknown key; did you mean 'train'?")
    refused(
        mmt("check", schema, "--set", "epochs"),
        "--set epochs: is not key.path=value; write for instance --set train.epochs=10",
    )


def test_folder_that_holds_a_run(schema: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert mmt("run", schema, "--out", out).status == 0
    refused(
        mmt("run", schema, "--out", out),
        f"{out}: holds a run already; go on with it by --resume, or write elsewhere with --out",
    )


def test_output_that_cannot_be_written(schema: Path) -> None:
    refused(
        mmt("run", schema, "--out", "/proc/mmt/run"),
        "/proc/mmt/run: cannot be written: ",
        "; make it writable, or write elsewhere",
    )


def test_disk_that_is_full(schema: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    out = tmp_path / "run"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from mmtoolkit.cli import main; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000,) * 2); "
        f"sys.argv = ['mmt', 'run', {str(schema)!r}, '--out', {str(out)!r}]; main()"
    )
    assert mmt("check", schema).status == 0  # prepared before the limit
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert not list(out.rglob(".*"))
    assert not (out / "checkpoint").exists()


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    for command in ("evaluate", "sample", "report", "compare"):
        refused(mmt(command, tmp_path), f"{tmp_path}: holds no run (there is no schema.yaml in it)")


def test_given_that_cannot_be_read(schema: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert mmt("run", schema, "--out", out).status == 0
    refused(
        mmt("sample", out, "--given", "label=Sandel"),
        "--given label=Sandel: 'Sandel' is none of the ",
        "did you mean 'Sandal'?",
    )
    refused(mmt("sample", out, "--given", "lable=Bag"), "--given lable=Bag: there is no modality 'lable'")
    refused(mmt("sample", out, "--given", "Sandal"), "--given Sandal: there is no modality 'Sandal'; the modalities")
    refused(mmt("sample", out, "--out", tmp_path / "s.gif"), "s.gif: samples are written to .png, .csv, .tsv, .parquet")
    broken = tmp_path / "broken.png"
    PILImage.new("L", (28, 28)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    refused(
        mmt("sample", out, "--given", f"image={broken}"),
        f"--given image={broken}: {broken}: is no picture that can be read",
    )
    refused(mmt("evaluate", out, "--split", "tets"), "there is no split 'tets'; did you mean 'test'?")
    refused(mmt("evaluate", out, "--set", "train.epochs=3"), "--set train.epochs=3: cannot change a trained run")


def test_usage_errors_end_with_2() -> None:
    assert mmt("run").status == 2
    assert mmt("no-such-command").status == 2


def test_json_is_all_that_is_on_stdout(schema: Path, tmp_path: Path) -> None:
    done = mmt("run", schema, "--out", tmp_path / "run", "--json")
    assert done.status == 0
    assert json.loads(done.out) == json.loads((tmp_path / "run" / "results.json").read_text())
    assert "epoch 1/1" in done.err


def test_check_says_rows_missing_shapes_and_counts(schema: Path) -> None:
    done = mmt("check", schema, "--json", "--set", "data.supervision={keep: 0.5}")
    found = json.loads(done.out)
    assert found["splits"]["train"]["rows"] == 40
    assert 0 < found["splits"]["train"]["missing"]["label"] < 1
    assert found["splits"]["test"]["missing"] == {"image": 0, "label": 0}
    assert found["modalities"]["image"]["shape"] == [1, 28, 28]
    assert found["terms"] == ["log p(image)", "log p(label)", "KL"]


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


def test_the_json_schema_in_the_registry_is_fresh() -> None:
    kept = Path(str(resources.files("mmt_registry"))) / "schema.json"
    assert json.loads(kept.read_text()) == json_schema(load_plugins()), "make schema writes it again"
    assert json.loads(mmt("schema").out) == json.loads(kept.read_text())


def test_the_catalogue_is_listed() -> None:
    done = mmt("list", "--json")
    assert set(json.loads(done.out)["schemas"]) >= {"fashion_mini", "mnist", "fashion_mnist"}
    assert json.loads(done.out)["datasets"]["fashion_mini"]["where"] == "bundled"


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_a_second_process_trains_by_module_name(schema: Path, tmp_path: Path) -> None:
    done = mmt_process("run", schema, "--out", tmp_path / "run", *sets("evaluate=[{kind: elbo}]"))
    assert done.status == 0, done.err
    assert "elbo on test" in done.out


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
    refused(mmt("check", schema), f"{schema}:10: evaluate.1: entries name 'lable', which is no modality; the modal")


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
    fault = "modalities.label: its decoder gives a distribution of batch shape (4, 3)"
    refused(mmt("--plugin", plugin, "check", path), fault)


def test_devices_that_are_not_here(schema: Path, tmp_path: Path) -> None:
    commands: list[list[str | Path]] = [
        ["run", schema, "--out", tmp_path / "r"],
        ["sample", tmp_path],
        ["evaluate", tmp_path],
    ]
    for command in commands:
        done = mmt(*command, "--device", "abacus")
        assert done.status == 2
    refused(mmt("run", schema, "--device", "abacus"), "--device abacus: is not supported; give auto, cpu or cuda")


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
    done = mmt("--plugin", plugin, "run", path, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert "Samples given pulse [/min]" in (tmp_path / "run" / "report.html").read_text()
    shown = BarWatcher(Console(force_terminal=True, width=200, file=open(tmp_path / "bar", "w")))  # noqa: SIM115
    shown.begin(TrainingStart(folder=tmp_path, schema=None, epochs=1, done=0, steps=1, rows=1))
    terms = {"log p(pulse [/min])": 1.0}
    shown.epoch({"epoch": 1, "loss": 1.0, "terms": terms, "validation": None, "rows_per_second": 1.0})
    shown.close()
    assert "pulse [/min]" in (tmp_path / "bar").read_text()
