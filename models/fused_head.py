"""The head of the default detector: artefacts, time and identity, one verdict.

Each cue gives a calibrated logit of its own, and a face is fake where any of them says so: noisy or (Pearl,
Probabilistic Reasoning in Intelligent Systems, 1988, section 4.3.2). A reenacted face keeps its owner's
identity and a good swap has no seam; a sum of logits would let the blind eye outvote the one that sees.
"""

import torch
from torch import Tensor, nn

from models.agreement import Agreement
from models.identity_eye import VIEWS
from models.inception_resnet_v1 import EMBEDDING
from models.temporal_head import TemporalHead

IDENTITY = VIEWS * EMBEDDING  # features that the second eye gives


class FusedHead(nn.Module):
    """A temporal head over the first eye's features, an agreement over the second's, and their union."""

    scales: Tensor
    shifts: Tensor

    def __init__(self, features: int) -> None:
        """features: of both eyes. Raises ValueError where the second's do not fit in."""
        super().__init__()
        self.first = features - IDENTITY
        if self.first <= 0:
            raise ValueError(f"both eyes give more than {IDENTITY} features, not {features}")
        self.artefacts = TemporalHead(self.first)
        self.identity = Agreement()
        # Scale and shift of each cue's logit, fitted together on held-apart people (models.fuse).
        self.register_buffer("scales", torch.ones(2))
        self.register_buffer("shifts", torch.zeros(2))

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """features (B, T, D), weights (B, T) in 0..1, 0 = padding -> logit (B,), positive = fake."""
        cues = self.cues(features, weights) * self.scales + self.shifts  # (B, 2)
        return union(cues)

    def cues(self, features: Tensor, weights: Tensor) -> Tensor:
        """The logits of artefacts and of identity, (B, 2)."""
        artefacts = self.artefacts(features[..., : self.first], weights)
        embeddings = features[..., self.first :].unflatten(-1, (VIEWS, EMBEDDING))
        seen = (embeddings.abs().sum((-1, -2)) > 0).to(weights.dtype)  # where the second eye looked
        return torch.stack([artefacts, self.identity(embeddings, weights * seen)], -1)


def union(logits: Tensor) -> Tensor:
    """The logit of "at least one of two": (B, 2) -> (B,). Its odds are a + b + ab."""
    return torch.logsumexp(torch.cat([logits, logits.sum(-1, keepdim=True)], -1), -1)
