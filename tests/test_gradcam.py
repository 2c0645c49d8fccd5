"""Grad-CAM: of a linear judge it is the class-activation map itself; every encoder of the family has one."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training packages are not installed")

from torch import nn  # noqa: E402

from models.family import ENCODERS, Networks  # noqa: E402
from models.gradcam import grad_cam  # noqa: E402
from models.mean_head import MeanHead  # noqa: E402

SIDES = {"meso4": 256, "mesoinception4": 256}
WIDTHS = {"inception_resnet_v1": 512, "inception_resnet_v2": 1536, "resnet50": 2048, "densenet121": 1024}


class _Linear(nn.Module):
    """A convolution, its mean, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 8, stride=8)

    def forward(self, crops):
        return self.conv(crops).mean((2, 3))


def test_of_a_linear_judge_it_is_the_class_activation_map():
    torch.manual_seed(1)
    encoder, head = _Linear(), MeanHead(5)
    crops = torch.randn(3, 3, 32, 32)
    found = grad_cam(Networks(encoder.eval(), head.eval()), crops.clone())
    with torch.no_grad():
        features = encoder.conv(crops)  # (3, 5, 4, 4)
        weight = torch.autograd.functional.jacobian(
            lambda f: head(f[None, None], torch.ones(1, 1))[0], torch.zeros(5)
        )
        expected = (features * weight[None, :, None, None]).sum(1).relu() / 16  # of 16 places
    assert found.shape == (3, 4, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_encoder_of_the_family_has_one(name):
    torch.manual_seed(2)
    width = WIDTHS.get(name, 16)
    encoder, side = ENCODERS[name](width).eval(), SIDES.get(name, 160)
    found = grad_cam(Networks(encoder, MeanHead(width).eval()), torch.randn(1, 3, side, side))
    assert found.shape[0] == 1
    assert min(found.shape[1:]) > 1
    assert torch.isfinite(found).all()
    assert (found >= 0).all()


def test_an_encoder_without_a_feature_map_is_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(ValueError, match="no feature map"):
        grad_cam(Networks(flat, MeanHead(4)), torch.randn(1, 3, 8, 8))
