"""The plainest temporal head: the weighted mean over a window of what single frames say."""

from torch import Tensor, nn


class MeanHead(nn.Module):
    """One linear layer. The logit of the mean feature is the mean of the frames' logits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.frame = nn.Linear(features, 1)

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """features (B, T, D), weights (B, T) in 0..1, 0 = padding -> logit (B,), positive = fake."""
        share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)  # (B, T), sums to 1
        return self.frame((features * share[..., None]).sum(1))[:, 0]
