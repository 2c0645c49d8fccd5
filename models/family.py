"""The family by name: what a checkpoint's words for its encoder and its head mean.

A new network is one new file and one line here. Each factory takes the width D of a crop's features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from models.augmented import Augmented
from models.common_layout import InceptionResnetV1Features
from models.crop import CropSpec
from models.densenet121 import DenseNet121
from models.efficientnet_lite import FaceEncoder
from models.ensemble import Ensemble, EnsembleHead, Resized
from models.fused_head import FusedHead
from models.identity_eye import IdentityEye
from models.inception_resnet_v1 import InceptionResnetV1
from models.inception_resnet_v2 import InceptionResnetV2
from models.lstm_head import LstmHead
from models.mean_head import MeanHead
from models.mesonet import FEATURES, MesoEncoder, meso4, mesoinception4
from models.plain_cnn import PlainCnn
from models.resnet50 import ResNet50
from models.temporal_head import TemporalHead


def _of_width(make: Callable[[], MesoEncoder]) -> Callable[[int], nn.Module]:
    def build(features: int) -> nn.Module:
        if features != FEATURES:
            raise ValueError(f"MesoNet gives {FEATURES} features, not {features}")
        return make()

    return build


ENCODERS: dict[str, Callable[[int], nn.Module]] = {
    "densenet121": DenseNet121,  # (N, 3, S, S) -> (N, D)
    "efficientnet_lite0": FaceEncoder,
    "inception_resnet_v1": InceptionResnetV1Features,
    "inception_resnet_v2": InceptionResnetV2,
    "meso4": _of_width(meso4),
    "mesoinception4": _of_width(mesoinception4),
    "plain_cnn": PlainCnn,
    "resnet50": ResNet50,
}
HEADS: dict[str, Callable[[int], nn.Module]] = {
    "gated": TemporalHead,  # (B, T, D), (B, T) -> (B,)
    "fused": FusedHead,
    "lstm": LstmHead,
    "mean": MeanHead,
}


def build(encoder: str, head: str, features: int, more: int = 0) -> tuple[nn.Module, nn.Module]:
    """An encoder and a head, untrained; `more` features come to the head from a second eye.

    Raises ValueError for names or widths that there are not.
    """
    for name, kind in ((encoder, ENCODERS), (head, HEADS)):
        if name not in kind:
            raise ValueError(f"no network is called {name!r}; there are {', '.join(sorted(kind))}")
    return ENCODERS[encoder](features), HEADS[head](features + more)


@dataclass(frozen=True, slots=True)
class Networks:
    """What a detector is made of."""

    encoder: nn.Module  # the first eye: crops (N, 3, S, S) -> features
    head: nn.Module
    second: nn.Module | None = None  # the second eye: crops (N, 3, S, S) -> more features

    every: int = 1  # the second eye looks at each so many-th crop

    def features(self, crops: Tensor) -> Tensor:
        """Crops of one track in time (T, 3, S, S) -> (T, D), 0 where the second eye does not look."""
        first = self.encoder(crops)
        if self.second is None:
            return first
        close = self.second(crops[:: self.every])
        rest = close.new_zeros(len(crops), close.shape[1])
        rest[:: self.every] = close
        return torch.cat([first, rest], 1)


def restore(state: Mapping[str, Any]) -> Networks:
    """The networks of a checkpoint in evaluation mode. A checkpoint without names is the default's.

    Raises KeyError, ValueError, RuntimeError for one that is none of ours.
    """
    if "members" in state:
        networks = _ensemble(state)
    else:
        name, temporal = names_of(state)
        more = state["second"]["features"] if "second" in state else 0
        encoder, head = build(name, temporal, state["features"] - more, more)
        # The first detectors' encoder also held the training's judge of single frames, which nothing reads.
        own = {k: v for k, v in state["encoder"].items() if not k.startswith("frame_logit.")}
        encoder.load_state_dict(own)
        head.load_state_dict(state["head"])
        networks = Networks(encoder.eval(), head.eval())
        if more:
            recogniser = InceptionResnetV1()
            recogniser.load_state_dict(state["recogniser"])
            second = IdentityEye(recogniser, CropSpec(**state["spec"])).eval()
            networks = replace(networks, second=second, every=state["second"]["every"])
    if state.get("augment"):
        networks = replace(networks, encoder=Augmented(networks.encoder, state["augment"]).eval())
    return networks


def _ensemble(state: Mapping[str, Any]) -> Networks:
    """The members of a checkpoint that models.combine wrote, behind one crop."""
    given, members = CropSpec(**state["spec"]), state["members"]
    restored = [restore(member) for member in members]
    eyes = [
        Resized(networks.encoder, given, CropSpec(**member["spec"]))
        for networks, member in zip(restored, members, strict=True)
    ]
    head = EnsembleHead(
        [networks.head for networks in restored],
        [member["features"] for member in members],
        [(member["temperature"], member["bias"]) for member in members],
    )
    return Networks(Ensemble(eyes).eval(), head.eval())


def names_of(state: Mapping[str, Any]) -> tuple[str, str]:
    """What a checkpoint calls its encoder and its head."""
    return state.get("network", "efficientnet_lite0"), state.get("temporal", "gated")
