"""What a training run is examined on: crops that are never trained on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.crop import crop_face
from models.dataset import VIDEO_BOX, Pairs, degraded_pair, held_stills
from models.metrics import auc
from models.splits import is_fake, is_training


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Crops that are never trained on: frames of held-apart videos, and made pairs of held-apart stills."""

    real: NDArray[np.uint8]
    fake: NDArray[np.uint8]
    made_real: NDArray[np.uint8]
    made_fake: NDArray[np.uint8]

    @staticmethod
    def make(pairs: Pairs, frames: int = 8, made: int = 128) -> "Exam":
        """Some frames of each held-apart video as they are; made pairs go through the usual degradation."""
        sides: dict[bool, list[NDArray[np.uint8]]] = {False: [], True: []}
        for clip in (c for c in pairs.clips if not is_training(c.name)):
            for i in np.linspace(0, len(clip.crops) - 1, frames).astype(int):
                sides[is_fake(clip.name)].append(crop_face(clip.crops[i], VIDEO_BOX, pairs.spec))
        rng, held = np.random.default_rng(0), held_stills(pairs.stills, pairs.mix.held_stills)
        made_pairs = []
        for index in held[:made]:
            face = pairs.stills.face(int(index))
            made_pairs.append(degraded_pair(face, pairs.make_fake(face, rng), pairs.spec, rng))
        blank = np.zeros((0, pairs.spec.size, pairs.spec.size, 3), np.uint8)
        four = sides[False], sides[True], [p[0] for p in made_pairs], [p[1] for p in made_pairs]
        return Exam(*(np.stack(part) if part else blank for part in four))

    def take(self, scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> dict[str, float]:
        """AUC over frames of videos and over made pairs. scores: crops (N, S, S, 3) -> logits (N,)."""
        parts = self.real, self.fake, self.made_real, self.made_fake
        real, fake, made_real, made_fake = (scores(p) if len(p) else np.zeros(0) for p in parts)
        return {"video_frame_auc": auc(real, fake), "made_auc": auc(made_real, made_fake)}
