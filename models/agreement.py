"""Temporary."""
import torch
from torch import Tensor, nn
class Agreement(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1))
    def forward(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        mean = nn.functional.normalize((embeddings * share[..., None, None]).sum(1), dim=-1, eps=1e-6)
        return -((mean[:, 0] * mean[:, 1]).sum(-1) + (mean[:, 1] * mean[:, 2]).sum(-1) + (mean[:, 0] * mean[:, 2]).sum(-1)) * self.scale
