"""The golden runs, each made once with the release that could save it first: later ones give the same numbers.

Run it again only to ADD a run, never to replace one: `python tests/golden/make.py NAME` makes one that is not there.
run.json says which release made it.

Each is a run folder as that release wrote it, with two changes. Its trained weights give way to a periodic pattern of
exact fractions, of which 10 MB pack into 2 kB, and its scores and its latent rows are those of these weights;
history.jsonl and the rest of `training` are of the training that took place. Its data lies in /data, which is nowhere:
loading a run reads no data. expected.json holds questions and their answers.

Before a run is written it is checked: its answers are finite and differ between rows, every tensor of weights bears on
them, and noise of the size of rounding errors does not change them.

The plugin mmt-counts has no golden run: a run names the checksum of a plugin's file, which any change of it changes.
"""

from __future__ import annotations

import json
import lzma
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor, nn

import mmtoolkit
from mmtoolkit.figures.latent_rows import latent_rows
from outputs import HERE, WEIGHTS, differences, golden_folders, outputs

PHOTO = "kind: image, shape: [1, 8, 8]"
KINDS = {
    "photo": f"{{{PHOTO}, network: mlp}}",
    "title": "{kind: text, length: 5}",
    "sort": "{kind: label}",
    "price": "{kind: numeric}",
    "size": "{kind: numeric, columns: [width, height]}",
    "ripe": "{kind: binary}",
    "traits": "{kind: attributes, columns: [sweet, sour, soft]}",
}
EVALUATE = """
- {kind: elbo}
- {kind: log_likelihood, entries: [{target: [sort], given: [photo]}], samples: 20}
- {kind: prediction}
- {kind: imputation, neighbours: 3}
- {kind: classifier, entries: [{target: [sort], given: [photo]}], steps: 2}
"""
IMAGES = {
    "grey": f"{{{PHOTO}, column: photo, network: mlp, likelihood: gaussian}}",
    "grey_fixed": f"{{{PHOTO}, column: photo, network: mlp, likelihood: gaussian, scale: 0.5}}",
    "small": f"{{{PHOTO}, column: photo, network: dcgan, likelihood: laplace}}",
    "small_fixed": f"{{{PHOTO}, column: photo, likelihood: laplace, scale: 0.5, resize: error}}",
    "static": f"{{{PHOTO}, column: photo, network: mlp, binarize: static}}",
    "dynamic": f"{{{PHOTO}, column: photo, network: mlp, binarize: dynamic}}",
    "cropped": f"{{{PHOTO}, column: wide, network: mlp}}",
    "stretched": f"{{{PHOTO}, column: wide, network: mlp, resize: stretch}}",
    "poster": "{kind: image, shape: [3, 36, 40], likelihood: gaussian}",
}
NUMBERS = {
    "learned": "{kind: numeric, column: price, weight: 2.0}",
    "fixed": "{kind: numeric, column: price, scale: 0.5, mean: [2.0], std: [3.0]}",
    "heavy": "{kind: numeric, column: price, likelihood: student_t}",
    "heavier": "{kind: numeric, column: price, likelihood: student_t, degrees: 2.5, scale: 0.25}",
    "size": "{kind: numeric, columns: [width, height], scale: [0.5, 2.0]}",
    "heavy_size": "{kind: numeric, columns: [width, height], likelihood: student_t, degrees: 8}",
}
TEXTS = {
    "characters": "{kind: text, column: title, length: 5, vocabulary_size: 6}",
    "given": "{kind: text, column: title, length: 5, min_length: 2, alphabet: abelmpru}",
    "unknown": "{kind: text, column: title, length: 5, alphabet: aelp, unknown: true}",
    "released": "{kind: text, column: title, length: 5, feedback: argmax, state: last_position}",
    "words": "{kind: text, column: note, length: 3, tokens: words, min_length: 1}",
}
YES_NO = {
    "ripe": "{kind: binary, values: ['no', 'yes']}",
    "fresh": "{kind: binary, column: organic}",
    "organic": "{kind: binary, weight: 3.0}",
    "sort": "{kind: label, classes: [plum, pear, apple]}",
    "traits": "{kind: attributes, columns: [sweet, sour], values: ['1', '0']}",
}


def _kinds(*names: str, **other: str) -> dict[str, str]:
    return {name: KINDS[name] for name in names or KINDS} | other


MVAE = "{kind: mvae, latent_dim: 3, subsets: {k: 1}}"
SORT, PRICE = KINDS["sort"], KINDS["price"]
NETWORKS = {
    "photo": f"{{{PHOTO}, network: {{kind: conv, channels: 4, width: 8}}}}",
    "grey": f"{{{PHOTO}, column: photo, network: {{kind: resnet, width: 4, dense: 8}}, "
    "likelihood: continuous_bernoulli}",
    "note": "{kind: text, length: 3, tokens: words, network: {kind: transformer, width: 8, layers: 1, heads: 2}}",
    "curve": "{kind: series}",
    "sides": "{kind: series, columns: [width, height], network: {kind: mlp, width: 8}, likelihood: student_t}",
    "title": "{kind: text, length: 5, network: {kind: gru, width: 8, layers: 1}}",
    "price": "{kind: numeric, network: {kind: mlp, width: 8, norm: layer, residual: true}}",
}
LIKELIHOODS = {
    "stones": "{kind: count}",
    "seeds": "{kind: count, column: stones, likelihood: poisson}",
    "grade": "{kind: ordinal, classes: [low, middle, high]}",
    "grown": "{kind: numeric, column: price, likelihood: lognormal}",
    "width": "{kind: numeric, likelihood: {kind: laplace, scale: predicted}}",
    "picked": "{kind: date}",
    "sold": "{kind: time}",
}
RECORD = {
    "fruit": "{kind: record, columns: {price: {kind: numeric}, sort: {kind: label}, ripe: {kind: binary}, "
    "stones: {kind: count}, grade: {kind: ordinal, classes: [low, middle, high]}, "
    "side: {kind: numeric, each: [width, height]}}, network: {kind: mlp, width: 16, norm: layer, residual: true}}",
    "photo": KINDS["photo"],
}
TWO = {"sort": SORT, "price": PRICE}
THREE = {"photo": KINDS["photo"], "sort": SORT, "price": PRICE}
POOLED = ("barycentre", "crmvae", "gpoe", "helvae", "holder", "mcvae")
MIXED = ("mmjsd", "mmvae", "mmvm", "mopoe", "mvtcae")
OF_0_2: dict[str, tuple[str, dict[str, str]]] = {
    **{
        kind: (f"{{kind: {kind}, latent_dim: 3}}", THREE)
        for kind in (*POOLED, *MIXED)
    },
    **{
        kind: (f"{{kind: {kind}, latent_dim: 3, private_dim: 2, shared_only: [sort]{more}}}", THREE)
        for kind, more in {"cmvae": ", clusters: 2, prune: false", "dmvae": "", "mmvaeplus": ""}.items()
    },
    "mmvae_laplace": ("{kind: mmvae, latent_dim: 3, experts: laplace, prior: {kind: laplace, scale: learned}}", THREE),
    "prior_flow": ("{kind: mvae, latent_dim: 3, prior: {kind: flow, width: 8}}", TWO),
    "prior_mixture": ("{kind: mvae, latent_dim: 3, prior: {kind: mixture, components: 2}}", TWO),
    "prior_normal": ("{kind: mvae, latent_dim: 3, prior: {kind: normal, scale: learned}}", TWO),
    "prior_student_t": ("{kind: mvae, latent_dim: 3, prior: student_t}", TWO),
    "networks": (MVAE, NETWORKS),
    "likelihoods": (MVAE, LIKELIHOODS),
    "record": ("{kind: mvae, latent_dim: 3}", RECORD),
}  # fmt: skip


def _cvae(target: str) -> str:
    return f"{{kind: cvae, latent_dim: 3, target: {target}}}"


DCGAN = f"{{{PHOTO}, network: dcgan}}"
RUNS: dict[str, tuple[str, dict[str, str]]] = {
    "mvae": (MVAE, KINDS),
    "mvae_images": (MVAE, IMAGES),
    "mvae_numbers": (MVAE, NUMBERS),
    "mvae_texts": (MVAE, TEXTS),
    "mvae_banks": ("{kind: mvae, latent_dim: 3, banks: true, subsets: {k: 2, sampling: by_size}}", YES_NO),
    "vae": ("{kind: vae, latent_dim: 3, modality: photo}", _kinds("sort", "photo", photo=DCGAN)),
    "bivcca": ("{kind: bivcca, latent_dim: 3, mu: 0.25}", _kinds("photo", "sort")),
    "jmvae": (
        "{kind: jmvae, latent_dim: 3, width: 16, alpha: 0.5, subsets: [[photo, title], [sort, price, traits]]}",
        _kinds(other=DCGAN.replace("network", "column: photo, network")),
    ),
    **{f"cvae_{target}": (_cvae(target), KINDS) for target in KINDS},
    "cvae_dcgan": (
        "{kind: cvae, latent_dim: 3, target: photo, given: [sort, price]}",
        _kinds("photo", "sort", "price", "ripe", photo=DCGAN),
    ),
}
# The backward direction of `state: last_position` reads one symbol, from a state of zeros; the loss of mmvaeplus alone
# draws by learned scales.
IDLE = {"encoders.3.reader.reverse.weight_hh_l0", "logscales"}

SORTS, NOTES = ("apple", "pear", "plum"), ("red and ripe", "green", "very sour", "sweet red")
ROWS, WHOLE = 24, 4
_PERIOD = 61  # prime, so that rows of a matrix differ


def write_picture(path: Path, row: int, height: int, width: int, channels: int) -> None:
    """A picture of blocks, which differs between rows."""
    y, x, c = np.ogrid[:height, :width, :channels]
    pixels = ((37 * row + 61 * (y // 3) + 83 * (x // 3) + 29 * c + (y // 3) * (x // 3) * (row + 11)) % 256).astype(
        np.uint8
    )
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(path)


def row_of(row: int, folder: Path) -> dict[str, Any]:
    """A row of column -> cell without holes; its pictures are written to folder/pictures."""
    (folder / "pictures").mkdir(exist_ok=True)
    pictures = {"photo": (8, 8, 1), "wide": (9, 12, 1), "poster": (36, 40, 3)}
    for name, shape in pictures.items():
        write_picture(folder / f"pictures/{name}_{row}.png", row, *shape)
    return {name: f"pictures/{name}_{row}.png" for name in pictures} | {
        "title": SORTS[row % 3][: 2 + row % 4],
        "note": NOTES[row % 4],
        "sort": SORTS[row % 3],
        "price": 1.5 + (row * 7 % 11) / 4,
        "width": 2.0 + row % 5,
        "height": 10.5 - (row * 3 % 7) / 2,
        "ripe": "yes" if row % 3 else "no",
        "organic": "true" if row % 4 < 2 else "false",
        "sweet": row % 2,
        "sour": row // 2 % 2,
        "soft": (row + row // 3) % 2,
        "stones": row * 5 % 7,
        "grade": ("low", "middle", "high")[row * 2 % 3],
        "picked": f"2024-{1 + row % 12:02}-{1 + row * 7 % 28:02}",
        "sold": f"{(8 + row * 5) % 24:02}:{row * 7 % 60:02}",
        "curve": [row % 4 + (row * step % 5) / 2 for step in range(8)],
    }


def write_data(folder: Path) -> Path:
    """The table that runs are trained on, some of whose cells are missing."""
    lines = []
    for row in range(ROWS):
        cells = row_of(row, folder)
        holes = {column for place, column in enumerate(cells) if (5 * row + place) % 8 == 0 and row % 2}
        lines.append(json.dumps({column: None if column in holes else cell for column, cell in cells.items()}))
    (folder / "things.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "things.jsonl"


def questions(run: mmtoolkit.TrainedRun) -> dict[str, Any]:
    """Rows that are whole, but for an entry of several; rows that lack cells; an empty one; givens and z."""
    table = [row_of(row, HERE) for row in range(WHOLE)]
    if run.model.units.keys() == run.modalities.keys():  # a record has no entries of several
        table[2] |= {"height": None, "sour": None}
    partial = [{c: cell for i, (c, cell) in enumerate(table[half].items()) if i % 2 == half} for half in (0, 1)]
    empty: list[Any] = [{}]
    names = list(run.modalities)
    sets = run.model.subsets()
    if sets is None:
        givens = [[], names, [names[0], names[-1]], *([name] for name in names)]
    else:
        givens = [[name for name in names if name in subset] for subset in sets]
    if run.model.prior is None:  # nothing is inferred from nothing
        partial, empty, givens = [], [], givens[1:]
    z = [[((7 * i + 5 * d + 3 * i * d) % 13 - 6) / 4 for d in range(run.model.latent_dim)] for i in range(WHOLE)]
    prior = getattr(run.schema.model, "prior", None)
    draws = {"draws": WHOLE} if prior is not None and prior.kind == "flow" else {}  # no posterior shows its weights
    return {"table": [*table, *partial, *empty], "givens": givens, "z": z, **draws}


def pattern(shape: torch.Size, place: int, size: float) -> Tensor:
    """Whole numbers that repeat, over a power of two so that they are exact: about `size` large."""
    j = torch.arange(_PERIOD)
    period = ((1 + place % 60) * j * j + (3 * place + 1) * j + 7 * place + 1) % _PERIOD - _PERIOD // 2
    numbers = period.repeat(math.prod(shape) // _PERIOD + 1)[: math.prod(shape)].reshape(shape)
    return numbers.float() * 2.0 ** round(math.log2(size * math.sqrt(12) / _PERIOD))


def fill(network: nn.Module) -> None:
    """Replace all weights and running statistics by patterns, of sizes at which signals neither die nor saturate."""
    place = 0
    for module in network.modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        persistent = module.state_dict().keys()
        for name, tensor in own:
            if name not in persistent or not tensor.is_floating_point():
                continue
            place += 1
            if name == "running_var" or (name == "weight" and isinstance(module, nn.modules.batchnorm._BatchNorm)):
                new = 1 + pattern(tensor.shape, place, 0.125)
            elif isinstance(module, nn.Embedding):
                new = pattern(tensor.shape, place, 1.0)
            elif tensor.dim() < 2 or name == "raw_scale":
                new = pattern(tensor.shape, place, 0.125)
            else:
                inputs = tensor.numel() // tensor.shape[0]
                if isinstance(module, nn.ConvTranspose2d):
                    inputs = tensor.shape[0] * 4
                # What a dense layer of a pattern gives repeats too: the next one adds it up, and averages nothing out.
                repeats = max(1, inputs / _PERIOD) if tensor.dim() == 2 else 0.5
                new = pattern(tensor.shape, place, 1.4 / math.sqrt(inputs * repeats))
            tensor.data.copy_(new)


def check(run: mmtoolkit.TrainedRun, asked: dict[str, Any], answers: dict[str, Any]) -> None:
    """Raise where the answers would not show a fault, or would differ on another machine."""
    network = run.model
    json.dumps(answers, allow_nan=False)
    for given, posterior in zip([None, *asked["givens"]], answers["infer"], strict=True):
        means = posterior["mean"][:WHOLE]
        prior = all(x == 0 for mean in means for x in mean)
        spread = max(max(dim) - min(dim) for dim in zip(*means, strict=True))
        assert prior or given == [] or spread > 1e-3, (given, means)
        assert not prior or not given or run.schema.model.kind == "cvae", given
    for name, log_probs in answers["log_prob"].items():
        assert max(log_probs) - min(log_probs) > 1e-3, (name, log_probs)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    state = network.state_dict(keep_vars=True)
    for name, tensor in weights.items():
        if name in IDLE:
            continue
        state[name].data.mul_(1.01)
        assert next(differences(answers, outputs(run, asked)), None), f"no answer depends on {name}"
        state[name].data.copy_(tensor)
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        for name, tensor in weights.items():
            state[name].data.copy_(tensor * (1 + 1e-7 * torch.randn(tensor.shape, generator=draw)))
        assert not (found := list(differences(answers, outputs(run, asked)))), found[:5]
    for name, tensor in weights.items():
        state[name].data.copy_(tensor)


def make(name: str, work: Path) -> None:
    """Train, check and write one golden run."""
    model, modalities = {**RUNS, **OF_0_2}[name]
    path = write_data(work)
    lines = "".join(f"  {modality}: {options}\n" for modality, options in modalities.items())
    (work / f"{name}.yaml").write_text(
        f"name: {name}\ndata: {{kind: table, path: {path}, split: {{train: 0.5, valid: 0.25, test: 0.25}}}}\n"
        f"modalities:\n{lines}model: {model}\ntrain: {{epochs: 2, batch_size: 8, warmup_epochs: 1}}\n"
        f"evaluate:{EVALUATE if name == 'mvae' else ' [{kind: elbo}, {kind: prediction}]'}\n"
    )
    sys.argv = ["mmt", "run", f"/data/{name}.yaml"]
    folder = mmtoolkit.run(mmtoolkit.read_schema(work / f"{name}.yaml"), work / name, device="cpu").folder

    run = mmtoolkit.load(folder)
    fill(run.model)
    state = run.model.state_dict()
    packed = save({key: state[key].contiguous() for key in load_file(folder / WEIGHTS)})
    (folder / WEIGHTS).write_bytes(packed)
    run = mmtoolkit.load(folder)
    scores = run.evaluate(run.schema.evaluate, run.default_split())
    write_json(folder / "results.json", {**run.results, "scores": scores})
    write_json(folder / "latent.json", latent_rows(run, run.default_split()))
    asked = questions(run)
    answers = outputs(run, asked)
    check(run, asked, answers)

    golden = HERE / name
    golden.mkdir()
    for file in ("schema.yaml", "run.json", "results.json", "data.json", "latent.json", "history.jsonl"):
        (golden / file).write_text((folder / file).read_text().replace(str(work), "/data"))
    shutil.copy(folder / "baselines.safetensors", golden)
    (golden / f"{WEIGHTS}.xz").write_bytes(lzma.compress(packed, preset=9))
    write_json(golden / "expected.json", {"questions": asked, "answers": answers})


def write_json(path: Path, data: Any) -> None:
    """JSON, a line for each entry at the top."""
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in data.items()]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    there = {folder.name for folder in golden_folders()}
    for wanted in sys.argv[1:] or {**RUNS, **OF_0_2}:
        if wanted not in there:
            with tempfile.TemporaryDirectory() as temporary:
                make(wanted, Path(temporary))
            print(wanted)
