"""The family by name: what a checkpoint's words for its encoder and its head mean.

A new network is one new file and one line here. Each factory takes the width D of a crop's features.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from models.common_layout import InceptionResnetV1Features
from models.densenet121 import DenseNet121
from models.efficientnet_lite import FaceEncoder
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
    "lstm": LstmHead,
    "mean": MeanHead,
}


def build(encoder: str, head: str, features: int) -> tuple[nn.Module, nn.Module]:
    """An encoder and a head, untrained. Raises ValueError for names or widths that there are not."""
    for name, kind in ((encoder, ENCODERS), (head, HEADS)):
        if name not in kind:
            raise ValueError(f"no network is called {name!r}; there are {', '.join(sorted(kind))}")
    return ENCODERS[encoder](features), HEADS[head](features)


def restore(state: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Encoder and head of a checkpoint in evaluation mode. A checkpoint without names is the default's.

    Raises KeyError, ValueError, RuntimeError for one that is none of ours.
    """
    encoder, head = build(*names_of(state), state["features"])
    # The first detectors' encoder also held the training's judge of single frames, which nothing reads.
    encoder.load_state_dict({k: v for k, v in state["encoder"].items() if not k.startswith("frame_logit.")})
    head.load_state_dict(state["head"])
    return encoder.eval(), head.eval()


def names_of(state: Mapping[str, Any]) -> tuple[str, str]:
    """What a checkpoint calls its encoder and its head."""
    return state.get("network", "efficientnet_lite0"), state.get("temporal", "gated")
