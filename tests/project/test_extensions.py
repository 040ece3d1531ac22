"""Extensions written from outside: public names alone, none of our files touched, from a schema to a report."""

from __future__ import annotations

import ast
import math
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import VonMises

import mmtoolkit
from mmtoolkit import Batch, Elbo, Observed, UserError, build, load, load_plugins
from mmtoolkit.testing import check_evaluator, check_modality, check_model, check_source
from runs import Ended, mmt
from toys import randn

FOLDER = Path(__file__).parents[1] / "extensions"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FILES = sorted(FOLDER.glob("*.py"))
PLUGINS = [FOLDER / f"{name}.py" for name in ("angle", "sqlite_source", "mixtures", "retrieval")]
COMPONENTS = load_plugins(PLUGINS).components
Angle: Any = COMPONENTS["modality", "angle"]
SQLite: Any = COMPONENTS["source", "sqlite"]
Retrieval: Any = COMPONENTS["evaluator", "retrieval"]
AloneOrAll: Any = COMPONENTS["model", "alone_or_all"]


def with_plugins(*words: str | Path) -> Ended:
    return mmt(*(word for file in PLUGINS for word in ("--plugin", file)), *words)


# What they import.


def imported_of_ours(path: Path) -> Iterator[str]:
    """Names of mmtoolkit that a file imports or reaches for, `mmtoolkit.a.b` for what is no public name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not re.match(r"mmt_|mmtoolkit($|\.)", alias.name), f"{path}: import the names themselves"
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            if node.module == "mmtoolkit":
                yield from (alias.name for alias in node.names)
            elif re.match(r"mmt_|mmtoolkit\.", node.module or ""):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_extensions_import_public_names_alone(path: Path) -> None:
    names = set(imported_of_ours(path))
    assert names
    assert names <= set(dir(mmtoolkit))
    source = path.read_text(encoding="utf-8")
    assert not {"importlib", "__import__", "sys"} & {
        n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)
    }


def test_none_of_our_files_knows_of_them() -> None:
    kinds = {kind for (_, kind), cls in COMPONENTS.items() if cls.__module__.startswith("mmt_plugin_")}
    assert kinds == {"angle", "sqlite", "alone_or_all", "retrieval"}
    assert not kinds & {kind for _, kind in load_plugins().components}


# A modality with two parameters.


def test_the_angle_likelihood_is_von_mises_in_both_parameters() -> None:
    decoder = Angle().decoder(3)
    p = decoder(randn(5, 3).float())
    assert (p.batch_shape, p.event_shape) == ((5,), ())
    x = torch.linspace(-math.pi, math.pi, 20_001)[:-1, None].expand(-1, 5)
    assert torch.equal(p.log_prob(x), VonMises(p.loc, p.concentration).log_prob(x))
    torch.testing.assert_close(p.log_prob(x).exp().sum(0) * (2 * math.pi / 20_000), torch.ones(5))
    p.log_prob(torch.ones(5)).sum().backward()
    assert len(p.concentration.unique()) == len(p.loc.unique()) == 5
    assert (
        decoder.layers[-1].weight.grad.abs().sum(1) > 0
    ).all()  # of the direction's two numbers and the concentration


@pytest.mark.parametrize("turn", [360.0, 24.0])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.75, 1.0, -0.25, 3.4])
def test_angles_come_back(turn: float, share: float) -> None:
    angle = Angle(turn=turn)
    x = angle.parse(f"{share * turn}")
    assert -math.pi <= x <= math.pi
    found = angle.cell(x)
    assert 0 <= found < turn
    assert abs(math.remainder(found - share * turn, turn)) < 1e-4
    assert math.cos(angle.parse(found) - x) == pytest.approx(1)


@pytest.mark.parametrize("cell", ["north", None, math.nan, math.inf, [1]])
def test_what_is_no_angle_is_a_fault(cell: Any) -> None:
    with pytest.raises(ValueError, match=r"is no angle; give a number, of which 24 is a full turn"):
        Angle(turn=24).parse(cell)


def test_angles_are_compared_the_short_way_round() -> None:
    angle = Angle(turn=24)
    x = torch.stack([angle.parse(cell) for cell in (23, 1, 12, 6, 13)])
    error = angle.scores(torch.stack([angle.parse(cell) for cell in (1, 23, 0, 9, 11)]), x)["angular_error"]
    torch.testing.assert_close(error, torch.tensor([2.0, 2.0, 12.0, 3.0, 2.0]))
    mean = angle.cell(angle.baseline([x[:1], x[1:2]]))
    assert min(mean, 24 - mean) < 1e-5  # midnight, and not noon
    p = VonMises(torch.stack([angle.parse(cell) for cell in (23, 6, 1, 6)]), torch.tensor(1.0))  # two draws of two rows
    direction, spread = angle.average(p, 2)
    assert min(angle.cell(direction[0]), 24 - angle.cell(direction[0])) < 1e-5
    assert angle.cell(direction[1]) == pytest.approx(6)
    torch.testing.assert_close(spread, torch.tensor([(-2 * math.log(math.cos(math.pi / 12))) ** 0.5, 0.0]))


def test_a_conditional_model_is_told_the_direction() -> None:
    network = build(mmtoolkit.CVAE(latent_dim=2, target="a"), {"a": Angle(), "b": Angle()}, seed=0)
    all_there = torch.ones(4, dtype=torch.bool)
    x = torch.tensor([0.0, 1.0, -3.0, 2.0])
    losses = [
        network(Batch({"a": Observed(x, all_there), "b": Observed(b, all_there)}), noise=torch.zeros(1, 4, 2))[0]
        for b in (x, x + 2 * math.pi, x + 1)
    ]
    torch.testing.assert_close(losses[1], losses[0])
    assert abs(losses[2] - losses[0]) > 1e-4


# A source.


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a schema and of its database: wind and temperature follow from the season; a third is missing."""
    folder = tmp_path_factory.mktemp("weather")
    draw = random.Random(0)
    seasons = {"winter": (350, -3), "spring": (80, 9), "summer": (170, 22), "autumn": (260, 11)}
    with closing(sqlite3.connect(folder / "weather.db")) as database:
        for table, rows in (("past", 300), ("last", 60), ("new", 80)):
            database.execute(f"CREATE TABLE {table} (season TEXT, wind REAL, temperature REAL)")
            for _ in range(rows):
                season, (wind, warmth) = draw.choice(list(seasons.items()))
                cells = [season, draw.gauss(wind, 15) % 360, draw.gauss(warmth, 2)]
                row = [None if draw.random() < 1 / 3 else cell for cell in cells]
                database.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", row)
        database.commit()
    (folder / "weather.yaml").write_text((FOLDER / "weather.yaml").read_text())
    return folder


def test_a_table_of_a_database_is_read_in_chunks(weather: Path) -> None:
    source = SQLite(path=weather / "weather.db", tables={"train": "past", "test": "new"})
    table = source.load("train")
    assert (table.names, len(table)) == (("season", "wind", "temperature"), 300)
    assert source.files() == [weather / "weather.db"]
    assert isinstance(table.column("wind")[0], float | None)
    chunks = list(table.chunks(["wind", "season"], 70))
    assert [len(chunk["wind"]) for chunk in chunks] == [70, 70, 70, 70, 20]
    assert list(chunks[0]) == ["wind", "season"]
    for name in ("wind", "season"):
        assert [cell for chunk in chunks for cell in chunk[name]] == table.column(name)
    assert 60 < table.column("season").count(None) < 140


def test_faults_of_a_database_are_lines(weather: Path, tmp_path: Path) -> None:
    def fault(name: Path, table: str) -> str:
        with pytest.raises(UserError) as raised:
            SQLite(path=name, tables={"train": table}).load("train")
        return raised.value.faults[0].removeprefix(f"{name}: ")

    (tmp_path / "text.db").write_text("season,wind\n" * 100)
    assert fault(tmp_path / "no.db", "past") == "there is no such database; correct data.path"
    assert fault(tmp_path / "text.db", "past") == (
        "cannot be read as an SQLite database: file is not a database; check the file"
    )
    assert fault(weather / "weather.db", "pasta") == (
        "has no table 'pasta', named by data.tables.train; the tables: past, last, new"
    )


# The contracts.


@pytest.mark.parametrize("turn", [360.0, 24.0])
def test_the_angle_keeps_the_contract_of_modalities(turn: float) -> None:
    cells = [0, f"{turn / 4}", turn * 0.99, turn / 2, 12.25]
    check_modality(Angle(turn=turn), cells, bad=["north", math.nan])


@pytest.mark.slow
def test_the_others_keep_the_contracts_of_their_families(weather: Path) -> None:
    check_model(AloneOrAll(latent_dim=3))
    check_source(SQLite(path=weather / "weather.db", tables={"train": "past", "test": "new"}))
    check_evaluator(Retrieval(candidates=3))


# All of it together.


BOTH = pytest.mark.parametrize("kind", ["alone_or_all", pytest.param("mopoe", marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def run_of(weather: Path) -> Callable[[str], Path]:
    """The run folder of a kind of model, trained by the command line when it is first asked for."""

    @cache
    def run_folder(kind: str) -> Path:
        folder = weather / kind
        model = ("--set", f"model.kind={kind}")
        ended = with_plugins("run", weather / "weather.yaml", "--out", folder, *model, "--device", "cpu")
        assert ended.status == 0, ended.err
        return folder

    return run_folder


@pytest.fixture
def run_folder(run_of: Callable[[str], Path]) -> Path:
    return run_of("alone_or_all")


def scores_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {score["kind"]: score["results"] for score in load(folder, PLUGINS).results["scores"]}


def test_a_schema_of_extensions_is_checked(weather: Path) -> None:
    ended = with_plugins("check", weather / "weather.yaml")
    assert ended.status == 0, ended.err
    assert re.search(r"wind\s+angle\s+single value", ended.out)
    assert "One step works." in ended.out
    ended = mmt("check", weather / "weather.yaml")
    assert ended.status == 2
    assert "there is no source of kind 'sqlite'" in ended.err


@BOTH
@pytest.mark.slow
def test_the_evaluators_that_ship_score_them(kind: str, run_of: Callable[[str], Path]) -> None:
    run_folder = run_of(kind)
    scores = scores_of(run_folder)
    assert list(scores) == ["elbo", "prediction", "log_likelihood", "retrieval"]
    for results in scores.values():
        assert all(math.isfinite(result["value"]) and result["examples"] > 10 for result in results)
        assert all(result["better"] == ("low" if "error" in result.get("metric", "") else "high") for result in results)
    metrics = {result["metric"] for result in scores["prediction"] if result["target"] == ["wind"]}
    assert metrics == {"angular_error"}
    by_proposal = {
        tuple(r["proposal"]): r for r in scores["log_likelihood"] if r["target"] == ["wind"] and not r["given"]
    }
    assert set(by_proposal) == {("wind",), ("wind", "season", "temperature")}
    everything = next(r for r in scores["elbo"] if len(r["target"]) == 3)
    joint = next(r for r in scores["log_likelihood"] if len(r["target"]) == 3 and len(r["proposal"]) == 3)
    assert joint["value"] > everything["value"]  # more draws make a tighter bound
    own = [r for r in scores["retrieval"] if r["target"] == ["wind"]]
    assert [r["baseline"] for r in own] == [0.2]
    history = load(run_folder, PLUGINS).history
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.slow
@BOTH
def test_a_score_is_the_same_whatever_else_is_drawn(kind: str, run_of: Callable[[str], Path]) -> None:
    run_folder = run_of(kind)
    run = load(run_folder, PLUGINS)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(run.evaluate([Elbo(samples=3)], "test"))
    assert found[0] == found[1]


@pytest.mark.slow
def test_figures_and_report_hold_what_the_evaluator_drew(run_folder: Path) -> None:
    (figure,) = run_folder.glob("figures/*_0_retrieval_*.png")
    assert figure.stat().st_size > 1000
    (run_folder / "report.html").unlink()
    assert with_plugins("report", run_folder).status == 0
    report = (run_folder / "report.html").read_text(encoding="utf-8")
    assert "<h4>retrieved</h4>" in report
    assert "angular_error" in report.replace("angular error", "angular_error")


@pytest.mark.slow
@BOTH
def test_sampling_and_inference_give_and_take_cells(kind: str, run_of: Callable[[str], Path], tmp_path: Path) -> None:
    run_folder = run_of(kind)
    ended = with_plugins("sample", run_folder, "--given", "wind=350", "-n", "4", "--out", tmp_path / "drawn.csv")
    assert ended.status == 0, ended.err
    lines = (tmp_path / "drawn.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == ["wind", "season", "temperature"]
    assert [float(line.split(",")[0]) for line in lines[1:]] == pytest.approx([350] * 4)
    ended = with_plugins("sample", run_folder, "--given", "wind=north", "--out", tmp_path / "no.csv")
    assert ended.status == 2
    assert "is no angle; give a number, of which 360 is a full turn" in ended.err
    q = load(run_folder, PLUGINS).infer([{"wind": 350, "season": "winter"}, {"season": "winter"}, {}])
    assert q.mean.shape == (3, 3)
    assert (q.variance > 0).all()
    assert not q.mean[2].any()


@pytest.mark.slow
def test_other_scores_are_taken_later(run_folder: Path) -> None:
    entries = "[{target: [season], given: [wind]}]"
    evaluate = f"evaluate=[{{kind: retrieval, candidates: 4, entries: {entries}}}]"
    ended = with_plugins("evaluate", run_folder, "--split", "valid", "--set", evaluate, "--json")
    assert ended.status == 0, ended.err
    assert '"retrieved"' in ended.out
    ended = with_plugins("evaluate", run_folder, "--set", "evaluate=[{kind: retrieval, candidates: 1}]")
    assert ended.status == 2
    assert "candidates: input should be greater than or equal to 2" in ended.err


@pytest.mark.slow
@BOTH
def test_a_run_goes_on_as_if_it_had_not_stopped(kind: str, weather: Path, tmp_path: Path) -> None:
    plugins = load_plugins(PLUGINS)
    weights = []
    for parts in ([3], [2, 3]):
        for part, epochs in enumerate(parts):
            sets = [f"model.kind={kind}", "evaluate=[]", f"train.epochs={epochs}"]
            schema = mmtoolkit.read_schema(weather / "weather.yaml", sets, plugins)
            folder = tmp_path / f"in_{len(parts)}"
            mmtoolkit.run(schema, folder, plugins=plugins, resume=part > 0, device="cpu", figures=False)
        weights.append(load(folder, PLUGINS).model.state_dict())
    whole, in_parts = weights
    assert all(torch.equal(whole[name], in_parts[name]) for name in whole)


@pytest.mark.slow
def test_the_command_line_resumes_what_has_ended(run_folder: Path, weather: Path) -> None:
    before = (run_folder / "weights.safetensors").read_bytes()
    ended = with_plugins(
        "run", weather / "weather.yaml", "--out", run_folder, "--set", "model.kind=alone_or_all", "--resume"
    )
    assert ended.status == 0, ended.err
    assert (run_folder / "weights.safetensors").read_bytes() == before


def test_retrieval_of_what_is_known(weather: Path, run_folder: Path) -> None:
    run = load(run_folder, PLUGINS)
    entry = mmtoolkit.Entry(target=("wind",), given=("wind", "season", "temperature"))
    evaluator = Retrieval(candidates=4)
    groups = evaluator.groups(entry, run, "test")
    assert all(len(group) == 4 for group in groups)
    present = run.present["test"].all(1)
    assert torch.equal(torch.cat(groups), present.nonzero().squeeze(1)[: 4 * len(groups)])
    expected, found = [], []
    for batch in run.batches("test", groups):
        p = run.decode(run.model.infer(batch, entry.given).mean, ["wind"])["wind"]
        x = batch.value("wind")
        of_all = torch.stack([p.log_prob(x[other]) for other in range(4)])  # (candidate, row of z)
        likeliest = of_all > of_all.max(0).values - 1e-3  # equals share the credit
        expected += (likeliest.diagonal() / likeliest.sum(0)).tolist()
        found += evaluator.found(entry, run, batch).tolist()
    assert 0 < sum(expected) < len(expected)
    assert found == expected
    same = Batch(
        {name: Observed(batch.value(name)[:1].expand(4), torch.ones(4, dtype=torch.bool)) for name in batch.names}
    )
    assert evaluator.found(entry, run, same).tolist() == [0.25] * 4  # all are alike


# A command.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a distribution with the command is installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "traverse.py").write_text((EXAMPLES / "traverse.py").read_text(encoding="utf-8"), encoding="utf-8")
    info = folder / "mmt_traverse-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmt-traverse\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmtoolkit.commands]\ntraverse = traverse:traverse\n")
    return folder


def in_process(site: Path, *words: str | Path) -> Ended:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "mmtoolkit", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_command_of_a_plugin_uses_a_run(site: Path, run_folder: Path) -> None:
    files = [word for file in PLUGINS for word in ("--plugin", file)]
    ended = in_process(site, "traverse", run_folder, "--along", "1", "--steps", "3", *files)
    assert ended.status == 0, ended.err
    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert lines[0] == ["z", "wind", "season", "temperature"]
    assert [line[0] for line in lines[1:]] == ["-2", "0", "2"]
    run = load(run_folder, PLUGINS)
    z = torch.zeros(3, 3)
    z[:, 1] = torch.tensor([-2.0, 0.0, 2.0])
    winds = run.modalities["wind"].point(run.decode(z)["wind"])
    assert [line[1] for line in lines[1:]] == [run.modalities["wind"].text(wind) for wind in winds]


def test_a_command_of_a_plugin_is_listed_and_its_faults_are_lines(
    site: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    assert "mmt-traverse 1.0" in mmt("--help").out
    fault = "mmt-traverse: adds commands alone, for which there is no contract; test them by calling them\n"
    assert mmt("plugins", "check", "mmt-traverse").err == fault
    ended = with_plugins("traverse", run_folder, "--along", "7")
    assert (ended.status, ended.err) == (2, "--along 7: z has 3 variables; give one from 0 on\n")
