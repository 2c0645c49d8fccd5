"""What the encoder's training trains: an encoder and one linear judge of single crops."""

from torch import Tensor, nn


class FrameJudge(nn.Module):
    """The judge is where every temporal head begins."""

    def __init__(self, encoder: nn.Module, features: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.frame_logit = nn.Linear(features, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) as made by models.crop.to_input -> logits (N,), positive = fake."""
        return self.frame_logit(self.encoder(crops))[:, 0]
