"""Serve an export with ONNX Runtime alone: python serve_onnx.py FOLDER. Neither PyTorch nor mmtoolkit is imported."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def call(program, tensors):
    session = onnxruntime.InferenceSession(folder / program["files"]["onnx"], providers=["CPUExecutionProvider"])
    return dict(zip([out["name"] for out in program["outputs"]], session.run(None, tensors), strict=True))


modalities, programs = manifest["modalities"], manifest["programs"]
pictures = np.random.default_rng(0).random((3, *modalities["image"]["shape"]), dtype=np.float32)
labels = np.zeros(3, dtype=np.int64)  # they are not present, so any numbers will do
present = np.array([[True, False]] * 3)  # image, label
z = call(programs["posterior"], {"image": pictures, "label": labels, "present": present})["point"]
probabilities = call(programs["decoders"]["label"], {"z": z})["probs"]
for row in probabilities:
    print(modalities["label"]["classes"][row.argmax()], f"{row.max():.2f}")
