"""The family by name: what a checkpoint's words for its encoder and its head mean.

A new network is one new file and one line here. Each factory takes the width D of a crop's features.
"""

from collections.abc import Callable

from torch import nn

from models.efficientnet_lite import FaceEncoder
from models.mean_head import MeanHead
from models.mesonet import FEATURES, MesoEncoder, meso4, mesoinception4
from models.temporal_head import TemporalHead


def _of_width(make: Callable[[], MesoEncoder]) -> Callable[[int], nn.Module]:
    def build(features: int) -> nn.Module:
        if features != FEATURES:
            raise ValueError(f"MesoNet gives {FEATURES} features, not {features}")
        return make()

    return build


ENCODERS: dict[str, Callable[[int], nn.Module]] = {
    "efficientnet_lite0": FaceEncoder,  # (N, 3, S, S) -> (N, D)
    "meso4": _of_width(meso4),
    "mesoinception4": _of_width(mesoinception4),
}
HEADS: dict[str, Callable[[int], nn.Module]] = {
    "gated": TemporalHead,  # (B, T, D), (B, T) -> (B,)
    "mean": MeanHead,
}


def build(encoder: str, head: str, features: int) -> tuple[nn.Module, nn.Module]:
    """An encoder and a head, untrained. Raises ValueError for names or widths that there are not."""
    for name, kind in ((encoder, ENCODERS), (head, HEADS)):
        if name not in kind:
            raise ValueError(f"no network is called {name!r}; there are {', '.join(sorted(kind))}")
    return ENCODERS[encoder](features), HEADS[head](features)
