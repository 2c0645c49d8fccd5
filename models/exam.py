"""What a training run is examined on: crops that are never trained on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calibrate import probability
from models.crop import crop_face
from models.dataset import VIDEO_BOX, Pairs, degraded_pair, held_stills
from models.metrics import auc, balanced_accuracy, balanced_log_loss
from models.splits import is_fake, is_own, is_training


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Crops that are never trained on: frames of held-apart videos, and made pairs of held-apart stills.

    One's own held-apart real videos give made pairs too.
    """

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
        own = [c for c in pairs.clips if is_own(c.name) and not is_training(c.name) and not is_fake(c.name)]
        faces = [pairs.stills.face(int(index)) for index in held[:made]]
        faces += [c.face(int(i)) for c in own for i in np.linspace(0, len(c.crops) - 1, frames)]
        made_pairs = []
        for face in faces[:made]:
            made_pairs.append(degraded_pair(face, pairs.make_fake(face, rng), pairs.spec, rng))
        blank = np.zeros((0, pairs.spec.size, pairs.spec.size, 3), np.uint8)
        four = sides[False], sides[True], [p[0] for p in made_pairs], [p[1] for p in made_pairs]
        return Exam(*(np.stack(part) if part else blank for part in four))

    def take(self, scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> dict[str, float]:
        """AUC, accuracy and log-loss over frames of videos and over made pairs, real and fake weighed alike.

        scores: crops (N, S, S, 3) -> logits (N,).
        """
        found = {}
        for kind, sides in (
            ("video_frame", (self.real, self.fake)),
            ("made", (self.made_real, self.made_fake)),
        ):
            real, fake = (scores(side) if len(side) else np.zeros(0, np.float32) for side in sides)
            p = probability(np.concatenate([real, fake]), 1.0, 0.0)
            labels = np.repeat([0, 1], [len(real), len(fake)])
            found[f"{kind}_auc"] = auc(real, fake)
            found[f"{kind}_accuracy"] = balanced_accuracy(p, labels)
            found[f"{kind}_log_loss"] = balanced_log_loss(p, labels)
        return found
