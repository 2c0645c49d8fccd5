"""The temporal head: a window of encoded crops and their quality weights in, one logit out.

A gated recurrence whose gates see the crop but not the state (minGRU, Feng et al. 2024,
https://arxiv.org/abs/2410.01201, section 3.1), beside weighted means and spreads over the window. Because
the gates do not see the state, the last state is a weighted sum in closed form: no loop, and a crop of
weight 0 is exactly as if it were not there.
"""

import torch
from torch import Tensor, nn


class TemporalHead(nn.Module):
    """About 50,000 parameters; works for any number of crops from one up."""

    def __init__(self, features: int = 128, width: int = 64) -> None:
        super().__init__()
        self.inward = nn.Linear(2 * features, width)
        self.gate = nn.Linear(width, width)
        self.candidate = nn.Linear(width, width)
        self.verdict = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, 1))
        self.frame = nn.Linear(features, 1)  # begins as the encoder's own judge of single frames

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """features (B, T, D), weights (B, T) in 0..1, 0 = padding -> logit (B,), positive = fake."""
        share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)  # (B, T), sums to 1
        share = share[..., None]
        mean = (features * share).sum(1, keepdim=True)  # (B, 1, D)
        x = torch.relu(self.inward(torch.cat([features, features - mean], -1)))  # (B, T, W)
        average = (x * share).sum(1)  # (B, W)
        spread = torch.sqrt(((x - average[:, None]) ** 2 * share).sum(1) + 1e-5)
        keep = torch.log1p(
            -0.999 * torch.sigmoid(self.gate(x)) * weights[..., None]
        )  # log of what stays, <= 0
        total = keep.cumsum(1)
        after = total[:, -1:] - total  # log of what the later crops leave of this one
        state = ((1 - torch.exp(keep)) * torch.exp(after) * torch.tanh(self.candidate(x))).sum(1)
        rest = self.verdict(torch.cat([average, spread, state], -1))
        return (self.frame(mean[:, 0]) + rest)[:, 0]
