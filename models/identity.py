"""Identity consistency: does the inner face belong to the head it sits in? The views of a crop, compared.

A face swap brings another person's inner face: brows to chin then speak for one person, and forehead, hair,
ears and jaw for another. Each crop is shown to a face recogniser (models.inception_resnet_v1) as a whole,
with all but the inner face hidden, and with the inner face hidden; low cosines between the embeddings speak
for a swap. Compare the Identity Consistency Transformer (Dong et al., CVPR 2022,
https://arxiv.org/abs/2203.01318). Training and the live system share this file; it loads no torch.
"""

import numpy as np
from numpy.typing import NDArray

from models.crop import CropSpec, to_input

Floats = NDArray[np.float32]

SPEC = CropSpec(160, 1.3, mean=(127.5 / 255,) * 3, std=(128 / 255,) * 3)  # FaceNet's: (v - 127.5) / 128
SCALES = (0.85, 1.0, 1.15)  # of the ellipse
# The ellipse of scale 1, in parts of the longer side of MTCNN's box: half its width, half its height, and how
# far its middle lies below the box's. It runs from the brows to the chin and leaves forehead, temples, ears.
HALF_WIDTH, HALF_HEIGHT, BELOW = 0.31, 0.42, 0.02
SOFTNESS = 0.2  # the width of its edge, in parts of its radius


def ellipse(spec: CropSpec, scale: float) -> Floats:
    """The soft inner face of a crop that `spec` cuts: (S, S) in 0..1, 1 inside."""
    side = spec.size / spec.margin  # px of the crop
    middle = (spec.size - 1) / 2
    y, x = np.mgrid[: spec.size, : spec.size].astype(np.float32)
    across = (x - middle) / (HALF_WIDTH * scale * side)
    along = (y - middle - BELOW * side) / (HALF_HEIGHT * scale * side)
    return np.clip((1 + SOFTNESS / 2 - np.hypot(across, along)) / SOFTNESS, 0, 1).astype(np.float32)


def views(
    crops: NDArray[np.uint8], spec: CropSpec = SPEC, scales: tuple[float, ...] = SCALES
) -> NDArray[np.float32]:
    """What the recogniser sees of each crop: whole, inner face for K scales, surroundings for K scales.

    crops: (N, S, S, 3) uint8 BGR, cut with `spec`. Returns (N, 1 + 2K, 3, S, S) float32 RGB; what is hidden
    is 0, the mean.
    """
    whole = to_input(crops, spec)[:, None]  # (N, 1, 3, S, S)
    masks = np.array([ellipse(spec, scale) for scale in scales], np.float32)[None, :, None]  # (1, K, 1, S, S)
    return np.concatenate([whole, whole * masks, whole * (1 - masks)], axis=1)


def agreement(embeddings: Floats) -> Floats:
    """The cosines that tell: (…, 1 + 2K, D) embeddings of `views` -> (…, 3K), high = one person.

    K of the inner face with the surroundings, then K of the surroundings with the whole, then K of the inner
    face with the whole.
    """
    count = (embeddings.shape[-2] - 1) // 2
    unit = _unit(embeddings)
    whole, inner, around = unit[..., :1, :], unit[..., 1 : 1 + count, :], unit[..., 1 + count :, :]
    pairs = (inner * around, around * whole, inner * whole)
    return np.concatenate([p.sum(-1) for p in pairs], axis=-1)


def gathered(embeddings: Floats, weights: Floats) -> Floats:
    """One embedding for each view of a window: the weighted mean over its crops, at unit length.

    embeddings: (T, V, D). weights: (T,) 0..1. Returns (V, D). What changes from crop to crop (expression,
    blur, the encoder's noise) averages out; the person stays. Raises ValueError where no crop has weight.
    """
    if not weights.sum() > 0:
        raise ValueError("no crop of the window counts")
    return _unit(np.einsum("t,tvd->vd", weights / weights.sum(), _unit(embeddings)))


def drift(embeddings: Floats, weights: Floats) -> Floats:
    """How far each view's person wanders within a window: (T, V, D), (T,) -> (V,), 0 = stays, at most 2.

    The weighted mean of 1 - cosine with the window's own mean. Raises ValueError where no crop has weight.
    """
    mean = gathered(embeddings, weights)
    cosines = (_unit(embeddings) * mean).sum(-1)  # (T, V)
    return (1 - cosines).T @ (weights / weights.sum())


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
