"""Exports MTCNN's three networks to ONNX and proves them equal: `python -m export.mtcnn`."""

import argparse
import hashlib
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from export.session import open_session
from models.mtcnn import RNet, load_mtcnn

log = logging.getLogger(__name__)

WEIGHTS = Path(__file__).parent / "weights"
LICENCE = "MIT (facenet-pytorch, Tim Esler; davidsandberg/facenet, David Sandberg; MTCNN, Kaipeng Zhang)"
TOLERANCE = 1e-5  # of probabilities, and of offsets in parts of a box: 0.001 px on a face of 100 px
BLOCKS = 32  # channels: whole blocks of 8 or 16, as onnxruntime has them
OUTPUTS = {
    "pnet": ("offsets", "probabilities"),
    "rnet": ("offsets", "probabilities"),
    "onet": ("offsets", "landmarks", "probabilities"),
}
# Sizes of the input, (N, H, W), on which both are compared; PNet's sides are free, also odd ones.
PROBES = {
    "pnet": ((1, 12, 12), (1, 13, 40), (1, 109, 193), (2, 72, 129)),
    "rnet": ((1, 24, 24), (7, 24, 24), (64, 24, 24)),
    "onet": ((1, 48, 48), (7, 48, 48), (64, 48, 48)),
}


def in_blocks(net: nn.Module) -> nn.Module:
    """RNet with BLOCKS channels in its first layer, the last ones of no effect; another net as it is.

    28 are no whole blocks, and onnxruntime would leave its blocked layout for them (`models.mtcnn`).
    """
    if not isinstance(net, RNet):
        return net
    wide, narrow = RNet(BLOCKS), net.state_dict()
    grown = {name: torch.zeros_like(values) for name, values in wide.state_dict().items()}
    for name, values in grown.items():
        values[tuple(slice(side) for side in narrow[name].shape)] = narrow[name]
    wide.load_state_dict(grown)
    return wide.eval()


def export_net(name: str, net: nn.Module, path: Path) -> None:
    """Write one network, "pnet", "rnet" or "onet", with the batch (PNet: the sides too) left free."""
    batch, height, width = PROBES[name][0]
    source = f"facenet-pytorch {version('facenet-pytorch')}"
    free = {0: "batch", 2: "height", 3: "width"} if name == "pnet" else {0: "batch"}
    out = {0: "batch", 2: "rows", 3: "columns"} if name == "pnet" else {0: "batch"}
    with warnings.catch_warnings():
        # The older exporter keeps these graphs as small as they are drawn; PyTorch advises against it.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            in_blocks(net),
            (torch.zeros(batch, 3, height, width),),
            str(path),
            input_names=["image"],
            output_names=list(OUTPUTS[name]),
            dynamic_axes={"image": free, **dict.fromkeys(OUTPUTS[name], out)},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"source": source, "licence": LICENCE})
    onnx.save(model, str(path))


def largest_error(name: str, net: nn.Module, path: Path, seed: int = 0) -> float:
    """The largest difference between PyTorch and onnxruntime over all outputs and probe sizes."""
    rng, session, worst = np.random.default_rng(seed), open_session(path), 0.0
    for batch, height, width in PROBES[name]:
        image = rng.uniform(-1, 1, (batch, 3, height, width)).astype(np.float32)
        with torch.no_grad():
            wanted = net(torch.from_numpy(image))
        for got, want in zip(session.run(None, {"image": image}), wanted, strict=True):
            worst = max(worst, float(np.abs(got - want.numpy()).max()))
    return worst


def export_all(folder: Path = WEIGHTS) -> dict[str, float]:
    """Export all three into a folder; returns the largest error of each.

    Raises ValueError where an exported network differs from PyTorch's by more than TOLERANCE.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = {}
    for name, net in zip(("pnet", "rnet", "onet"), load_mtcnn(), strict=True):
        path = folder / f"mtcnn_{name}.onnx"
        export_net(name, net, path)
        errors[name] = largest_error(name, net, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        log.info("%s: largest error %.1e, sha256 %s", path, errors[name], digest)
        if not errors[name] <= TOLERANCE:
            raise ValueError(f"{path} differs from PyTorch by {errors[name]:.1e}, more than {TOLERANCE:.0e}")
    return errors


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m export.mtcnn", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the three files")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    export_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
