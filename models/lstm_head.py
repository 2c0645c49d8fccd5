"""The classic temporal head: an LSTM over a window of encoded crops, as wide as the features.

Hochreiter & Schmidhuber 1997; over frames' features as in Güera & Delp, Deepfake Video Detection Using
Recurrent Neural Networks, AVSS 2018. Crops of weight 0 are moved behind all others, and the state after the
last of the others is read: what comes later cannot have touched it, so they are exactly as if they were not
there, and ONNX's own LSTM runs it for any number of windows and crops.
"""

import torch
from torch import Tensor, nn

DROPOUT = 0.4  # before the verdict


class LstmHead(nn.Module):
    """For D features D cells; the verdict adds to what single frames say on average."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)  # features of some networks are far from 1, where cells are deaf
        self.lstm = nn.LSTM(features, features, batch_first=True)
        self.verdict = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(features, 1))
        self.frame = nn.Linear(features, 1)  # begins as the training's own judge of single frames

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """features (B, T, D), weights (B, T) in 0..1, 0 = padding -> logit (B,), positive = fake."""
        share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)  # (B, T), sums to 1
        mean = (features * share[..., None]).sum(1)  # (B, D)
        seen = (weights > 0).to(features.dtype)  # (B, T)
        place = torch.ones_like(seen).cumsum(1)  # 1..T
        order = torch.argsort(place + (1 - seen) * place[:, -1:], dim=1)  # the seen ones first, in time
        index = order[..., None].expand(features.shape)
        states, _ = self.lstm(self.norm(features.gather(1, index)))  # (B, T, D)
        is_last = (place == seen.sum(1, keepdim=True)).to(features.dtype)  # (B, T), nowhere if none was seen
        last = (states * is_last[..., None]).sum(1)  # (B, D)
        return (self.frame(mean) + self.verdict(last))[:, 0]
