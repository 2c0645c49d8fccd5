"""Adopts detectors that others trained, in the layout that student systems share, as checkpoints of ours.

The layout: a dictionary with `model_state_dict` of facenet-pytorch's InceptionResnetV1 (`classify=True`,
`num_classes=1`), trained on MTCNN's crops of 256 px scaled by 1/255, sigmoid of the one logit near 1 = fake.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.inception_resnet_v1 import EMBEDDING, InceptionResnetV1

SIZE = 256  # px
MARGIN = 1.0  # MTCNN's box itself; theirs was stretched to a square, ours is cut square


class InceptionResnetV1Features(InceptionResnetV1):
    """The trunk as an encoder: what stands before the logit."""

    def __init__(self, features: int = EMBEDDING) -> None:
        """features: must be 512. Raises ValueError for any other width."""
        if features != EMBEDDING:
            raise ValueError(f"InceptionResnetV1 gives {EMBEDDING} features, not {features}")
        super().__init__()

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB -> (N, 512)."""
        return self.features(faces)


def is_common(state: Mapping[str, Any]) -> bool:
    """Whether a loaded checkpoint is in the common layout."""
    return isinstance(state.get("model_state_dict"), Mapping)


def adopt(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A checkpoint of ours, as models.train_head writes it, from one in the common layout.

    The mean of the frames' logits over a window is the logit of its mean feature, so a linear mean head
    says exactly what the network said. Names may carry DataParallel's "module.". Raises KeyError without
    a logit of one number.
    """
    weights = {k.removeprefix("module."): v for k, v in state["model_state_dict"].items()}
    weight, bias = weights.pop("logits.weight"), weights.pop("logits.bias")
    if tuple(weight.shape) != (1, EMBEDDING):
        raise KeyError(f"one logit of {EMBEDDING} features, got {tuple(weight.shape)}")
    return {
        "network": "inception_resnet_v1",
        "temporal": "mean",
        "name": name,
        "version": "adopted",
        "license": "its author's",
        "features": EMBEDDING,
        "encoder": weights,
        "head": {"frame.weight": weight, "frame.bias": bias},
        "spec": {"size": SIZE, "margin": MARGIN, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
        "window": {"seconds": 2.0, "rate": 8.0, "stride": 0.25, "min_samples": 4},
        "temperature": 1.0,
        "bias": 0.0,
        # Both states begin at its own decision, even odds; the gap below it is ours.
        "thresholds": {"suspicious_on": 0.5, "suspicious_off": 0.45, "alert_on": 0.5, "alert_off": 0.45},
        "training": {"by": "others; their data and recipe are not known to this program"},
        "held_apart": {},
    }
