"""The prepared stills, which fakes are made from: read when asked for, brought to one way of being cut."""

from pathlib import Path

import cv2
import numpy as np

from models.fakes.face import FacePicture

WORKING_FACE = 220.0  # px: larger faces are shrunk before anything is made of them
PAD = 0.3  # of the box's longer side, mirrored around tight pictures


class Stills:
    """Pictures in `data` and the index stills.npz in `prepared`, as models.prepare writes it."""

    def __init__(self, data: Path, prepared: Path) -> None:
        with np.load(prepared / "stills.npz") as saved:
            self.names, self.boxes, self.points = saved["name"], saved["box"], saved["points"]
            self.held = saved["held"] if "held" in saved else np.zeros(len(self.names), bool)
        self._data = data

    def __len__(self) -> int:
        return len(self.names)

    def face(self, index: int) -> FacePicture:
        """Read one; large faces are shrunk, tight pictures get mirrored borders (fake and real alike).

        Raises FileNotFoundError where the picture is gone.
        """
        image = cv2.imread(str(self._data / str(self.names[index])))
        if image is None:
            raise FileNotFoundError(f"the still {self.names[index]} is gone from {self._data}")
        points, box = self.points[index].astype(np.float32), self.boxes[index].astype(np.float32)
        side = float((box[2:] - box[:2]).max())
        scale = min(1.0, WORKING_FACE / side)
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            points, box, side = points * np.float32(scale), box * np.float32(scale), side * scale
        pad = round(PAD * side)
        height, width = image.shape[:2]
        if (box[:2] >= pad).all() and box[2] <= width - pad and box[3] <= height - pad:
            return FacePicture(image.astype(np.uint8, copy=False), points, box)
        pad = min(pad, height - 1, width - 1)
        padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
        return FacePicture(padded, points + np.float32(pad), box + np.float32(pad), pad)
