"""From a trained checkpoint to one ONNX file with its card, proven equal to PyTorch before it is written."""

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from export.card import CARD_KEY, HEAD_KEY, Card, SecondEye, Thresholds, WindowSpec
from export.errors import ModelError
from export.join import join
from export.session import open_session
from models.common_layout import adopt, is_common
from models.crop import CropSpec, to_input
from models.family import Networks, names_of, restore

OPSET = 17
TOLERANCE = 1e-4  # largest absolute difference between PyTorch's and onnxruntime's outputs
BATCHES = (1, 2, 5, 16)
WINDOWS = ((1, 1), (1, 16), (3, 7), (2, 40))  # (B, T)


def convert(checkpoint: Path, out: Path, figures: dict[str, Any] | None = None) -> Card:
    """Write `out` from what models.train_head or models.peers saved; `figures` go into the card.

    Raises ModelError if the checkpoint cannot be read or ONNX does not agree with PyTorch.
    """
    networks, card = load(checkpoint, figures or {})
    encoder_bytes = eye_to_onnx(networks.encoder, card.crop, "features")
    window = (torch.zeros(2, 5, card.features), torch.ones(2, 5))
    head_bytes = _to_onnx(
        networks.head, window, {"features": ("b", "t"), "weights": ("b", "t")}, {"logit": ("b",)}
    )
    worst = max(
        eye_gap(networks.encoder, encoder_bytes, card.crop),
        head_gap(networks.head, head_bytes, card.features, card.second.features if card.second else 0),
    )
    if networks.second is not None and card.second is not None:
        second_bytes = eye_to_onnx(networks.second, card.crop, "identity")
        worst = max(worst, eye_gap(networks.second, second_bytes, card.crop))
        encoder_bytes = join(encoder_bytes, second_bytes, card.second.features)
    if not worst <= TOLERANCE:
        raise ModelError(
            f"ONNX differs from PyTorch by {worst:.2g}, more than {TOLERANCE:g}; nothing was written"
        )
    model = onnx.load_from_string(encoder_bytes)
    onnx.helper.set_model_props(
        model, {CARD_KEY: card.to_json(), HEAD_KEY: base64.b64encode(head_bytes).decode("ascii")}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_bytes(model.SerializeToString())
    part.replace(out)
    return card


def load(checkpoint: Path, figures: dict[str, Any]) -> tuple[Networks, Card]:
    """The networks in evaluation mode and the card. Raises ModelError for anything but our checkpoint.

    `network` and `temporal` name the networks (models.family); a checkpoint without them is the default's.
    """
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if is_common(state):
            state = adopt(state, checkpoint.stem)
        networks = restore(state)
        card = Card(
            name=state.get("name", "_".join(names_of(state))),
            version=state["version"],
            crop=CropSpec(**state["spec"]),
            window=WindowSpec(**state["window"]),
            features=state["features"],
            temperature=state["temperature"],
            bias=state["bias"],
            thresholds=Thresholds(**state["thresholds"]),
            second=SecondEye(**state["second"]) if "second" in state else None,
            training=state["training"],
            validation={"held_apart_windows": state["held_apart"], **figures},
            license=state.get("license", "MIT"),
        )
    except FileNotFoundError as error:
        raise ModelError(f"no checkpoint at {checkpoint}") from error
    except Exception as error:  # torch.load raises whatever the bytes lead it to
        raise ModelError(f"{checkpoint} is no checkpoint of ours: {error}") from error
    return networks, card


def eye_to_onnx(eye: nn.Module, spec: CropSpec, output: str) -> bytes:
    """An encoder of crops (n, 3, S, S) as ONNX."""
    example = (torch.zeros(2, 3, spec.size, spec.size),)
    return _to_onnx(eye, example, {"crops": ("n",)}, {output: ("n",)})


def eye_gap(encoder: nn.Module, model: bytes, spec: CropSpec) -> float:
    """The largest difference on noise and on smooth, face-like pictures, at several batch sizes.

    Features that spread wider than 1 are measured in units of their spread: float32 has seven digits, and
    MesoNet's features reach 100.
    """
    session, rng, worst = open_session(model), np.random.default_rng(0), 0.0
    for n in BATCHES:
        noise = rng.integers(0, 256, (n, spec.size, spec.size, 3), dtype=np.uint8)
        for crops in (noise, _smooth(n, spec.size, rng)):
            x = to_input(crops, spec)
            with torch.no_grad():
                wanted = encoder(torch.from_numpy(x)).numpy()
            gap = np.abs(session.run(None, {"crops": x})[0] - wanted).max()
            worst = max(worst, float(gap / max(1.0, wanted.std())))
    return worst


def head_gap(head: nn.Module, model: bytes, width: int, second: int = 0) -> float:
    """The largest difference over windows of several lengths, padding among them.

    The last `second` of the `width` features are a second eye's: 0 where it did not look.
    """
    session, rng, worst = open_session(model), np.random.default_rng(0), 0.0
    for b, t in WINDOWS:
        features = rng.standard_normal((b, t, width), dtype=np.float32)
        features[:, np.arange(t) % 3 > 0, width - second :] = 0
        weights = rng.random((b, t), dtype=np.float32) * (rng.random((b, t)) > 0.2)
        weights = weights.astype(np.float32)
        with torch.no_grad():
            wanted = head(torch.from_numpy(features), torch.from_numpy(weights)).numpy()
        got = session.run(["logit"], {"features": features, "weights": weights})[0]
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


def _smooth(n: int, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    waves = np.linspace(0, 2 * np.pi, size)
    pattern = np.sin(waves * rng.uniform(0.5, 3))[:, None] + np.cos(waves * rng.uniform(0.5, 3))[None]
    tint = rng.uniform(0.3, 1, (n, 1, 1, 3))
    return np.clip((pattern[None, ..., None] + 2) * 60 * tint, 0, 255).astype(np.uint8)


def _to_onnx(
    network: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: dict[str, tuple[str, ...]],
    outputs: dict[str, tuple[str, ...]],
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # the TorchScript exporter announces its successor
        torch.onnx.export(
            network,
            example,
            buffer,  # type: ignore[arg-type]  # the TorchScript exporter writes to files too
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(enumerate(axes)) for name, axes in {**inputs, **outputs}.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()
