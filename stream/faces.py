"""Finds faces: MTCNN's three ONNX networks, with pyramid, suppression and box regression in numpy.

K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
IEEE Signal Processing Letters 23(10), 2016, https://arxiv.org/abs/1604.02878, section II. The arithmetic
follows facenet_pytorch 2.5.3, models/utils/detect_face.py, number for number (`python -m tests.bench_mtcnn`
compares them), with its quirks: some widths count an extra pixel and some do not.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import export
from export.engine import small
from export.session import open_session
from stream.nets import Net, alone, on_crops, to_input
from stream.suppression import suppress, suppress_contained
from stream.values import Face

WEIGHTS = Path(export.__file__).parent / "weights"
CELL, STRIDE = 12, 2  # px, PNet's window and its step
# What RNet proposes for a face, against the square around what ONet makes of it: medians of 411 faces.
PROPOSED_SIDE, PROPOSED_DOWN = 0.967, 0.033

Boxes = NDArray[np.float32]  # (N, 4) x1 y1 x2 y2 px


class FaceDetector:
    """MTCNN on onnxruntime. Safe to share between threads: it keeps nothing between calls."""

    def __init__(
        self,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 1,
        min_face: float = 40,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
    ) -> None:
        """min_face: px, the smallest face looked for; the cost grows with its inverse square.

        thresholds: the probabilities that the three networks ask for. factor: between two steps of the
        pyramid; 0.709 halves the area. Raises ModelError, ProviderError as `open_session`.
        """
        files = (WEIGHTS / f"mtcnn_{name}.onnx" for name in ("pnet", "rnet", "onet"))
        self._pnet, self._rnet, self._onet = (
            alone(open_session(file, small(providers), threads)) for file in files
        )
        self.min_face, self.thresholds, self.factor = min_face, thresholds, factor

    def through(self, wrap: Callable[[str, Net], Net]) -> "FaceDetector":
        """The same detector with other hands on its networks, "pnet", "rnet" and "onet"."""
        other = copy.copy(self)
        other._pnet, other._rnet = wrap("pnet", self._pnet), wrap("rnet", self._rnet)
        other._onet = wrap("onet", self._onet)
        return other

    def warm_up(self, sizes: Sequence[tuple[int, int]], batches: Sequence[int]) -> None:
        """Run all networks at each batch size, PNet over pyramids of pictures of `sizes` (height, width).

        One shape after the other, so that streams that look meanwhile wait for no more than one of them.
        """
        for n in batches:
            self._rnet([np.zeros((n, 3, 24, 24), np.float32)])
            self._onet([np.zeros((n, 3, 48, 48), np.float32)])
            for height, width in sizes:
                scales = pyramid_scales(height, width, self.min_face, self.factor)
                for step in pyramid_sizes(height, width, scales):
                    self._pnet([np.zeros((n, 3, *step), np.float32)])

    def detect(self, image: NDArray[np.uint8]) -> tuple[Face, ...]:
        """All faces of a picture (H, W, 3) BGR, the largest first."""
        height, width = image.shape[:2]
        scales = pyramid_scales(height, width, self.min_face, self.factor)
        if not scales:
            return ()
        sums = cv2.integral(image, sdepth=cv2.CV_32S)
        boxes = self._propose(sums, scales)
        if len(boxes):
            boxes = self._reject(sums, boxes)
        if not len(boxes):
            return ()
        boxes, crops = _cut(sums, boxes, 48)
        offsets, points, scores = on_crops(self._onet, crops)
        passed = scores > self.thresholds[2]
        boxes, points = regress(boxes[passed], offsets[passed]), place(points[passed], boxes[passed])
        scores = scores[passed]
        kept = suppress_contained(boxes, scores, 0.7)
        boxes, points, scores = boxes[kept], points[kept], scores[kept]
        order = np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[::-1]
        return tuple(Face(boxes[i], points[i], float(scores[i])) for i in order)

    def refine(self, image: NDArray[np.uint8], boxes: Boxes) -> list[Face | None]:
        """ONet alone: where the face is that was expected in each box; None where it sees none.

        image: (H, W, 3) BGR. boxes: (N, 4) px, made here the squares that RNet would propose; they may reach
        outside the picture. None also for those wholly outside and those of more than twice its longer side.
        """
        found: list[Face | None] = [None] * len(boxes)
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        finite = np.asarray(np.isfinite(boxes).all(axis=1))
        squares = as_proposed(np.where(finite[:, None], boxes, 0))
        height, width = image.shape[:2]
        bounded = squares[:, 2] - squares[:, 0] <= 2 * max(height, width)  # what is padded costs memory
        inside = np.flatnonzero(finite & bounded & _usable(_clip(squares, height, width)))
        if not len(inside):
            return found
        crops = np.stack([_crop(image, box, 48) for box in squares[inside]])
        offsets, points, scores = on_crops(self._onet, crops)
        refined, points = regress(squares[inside], offsets), place(points, squares[inside])
        for i, box, landmarks, score in zip(inside, refined, points, scores, strict=True):
            if score > self.thresholds[2]:
                found[i] = Face(box, landmarks, float(score))
        return found

    def _propose(self, sums: NDArray[np.int32], scales: list[float]) -> Boxes:
        """PNet over the pyramid: candidates as squares."""
        sizes = pyramid_sizes(sums.shape[0] - 1, sums.shape[1] - 1, scales)
        smaller = [to_input(shrink(sums, *size)[None]) for size in sizes]
        rows = []
        for scale, (offsets, probabilities) in zip(scales, self._pnet(smaller), strict=True):
            found = _cells(offsets[0], probabilities[0, 1], scale, self.thresholds[0])
            rows.append(found[suppress(found[:, :4], found[:, 4], 0.5)])
        found = np.concatenate(rows)
        found = found[suppress(found[:, :4], found[:, 4], 0.7)]
        sides = np.tile(found[:, 2:4] - found[:, :2], 2)
        return square(found[:, :4] + found[:, 5:] * sides)

    def _reject(self, sums: NDArray[np.int32], boxes: Boxes) -> Boxes:
        """RNet over the candidates: those that stay, moved, as squares."""
        boxes, crops = _cut(sums, boxes, 24)
        offsets, scores = on_crops(self._rnet, crops)
        passed = scores > self.thresholds[1]
        boxes, offsets, scores = boxes[passed], offsets[passed], scores[passed]
        kept = suppress(boxes, scores, 0.7)
        return square(regress(boxes[kept], offsets[kept]))


def pyramid_scales(height: int, width: int, min_face: float, factor: float) -> list[float]:
    """The scales at which PNet's 12 px window is min_face px and larger, down to the whole picture."""
    scales, scale = [], CELL / min_face
    shorter = min(height, width) * scale
    while shorter >= CELL:
        scales.append(scale)
        scale, shorter = scale * factor, shorter * factor
    return scales


def pyramid_sizes(height: int, width: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Height and width in px of a picture at each scale."""
    return [(int(height * scale + 1), int(width * scale + 1)) for scale in scales]


def shrink(sums: NDArray[np.int32], height: int, width: int) -> NDArray[np.float32]:
    """PyTorch's "area" resize of a whole picture, exact to the last bit.

    sums: the picture's integral (H + 1, W + 1, C). Returns (height, width, C), means over the cells
    floor(i * H / height) … ceil((i + 1) * H / height) of torch's adaptive_avg_pool2d, which overlap where
    the ratio is not whole; cv2.INTER_AREA weights fractions instead, and boxes move by up to 10 px.
    """
    top, bottom = _cell_edges(sums.shape[0] - 1, height)
    left, right = _cell_edges(sums.shape[1] - 1, width)
    rows = sums.take(bottom, axis=0) - sums.take(top, axis=0)
    # int32 wraps round, and the difference is right all the same
    area = rows.take(right, axis=1) - rows.take(left, axis=1)
    return _mean(area, (bottom - top)[:, None, None], (right - left)[None, :, None])


def square(boxes: Boxes) -> Boxes:
    """The squares with the boxes' centres and longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate([corner, corner + longer], axis=1)


def as_proposed(boxes: Boxes) -> Boxes:
    """The squares in which RNet would hand these faces to ONet, on average."""
    found = square(boxes)
    side = found[:, 2:3] - found[:, :1]
    centre = (found[:, :2] + found[:, 2:]) / 2 + side * np.array([0, PROPOSED_DOWN], np.float32)
    half = side * np.float32(PROPOSED_SIDE / 2)
    return np.concatenate([centre - half, centre + half], axis=1)


def regress(boxes: Boxes, offsets: NDArray[np.float32]) -> Boxes:
    """Boxes moved by a network's offsets (N, 4), which are in parts of the box's sides."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def place(points: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
    """ONet's landmarks (N, 10), in parts of the box, as (N, 5, 2) px of the picture."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides[:, None] + boxes[:, None, :2] - 1


def _cells(
    offsets: NDArray[np.float32], probability: NDArray[np.float32], scale: float, threshold: float
) -> NDArray[np.float32]:
    """PNet's cells above the threshold: (N, 9) box, probability, offsets."""
    rows, columns = np.nonzero(probability >= threshold)
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    start = np.floor((STRIDE * cells + 1) / np.float32(scale))
    end = np.floor((STRIDE * cells + CELL) / np.float32(scale))
    likely = probability[rows, columns][:, None]
    return np.concatenate([start, end, likely, offsets[:, rows, columns].T], axis=1).astype(np.float32)


def _pixels(boxes: Boxes) -> NDArray[np.int64]:
    """(N, 4) whole pixels left, top, right, bottom, the last two exclusive; MATLAB counts from 1."""
    return np.trunc(boxes.clip(-1e9, 1e9)).astype(np.int64) - (1, 1, 0, 0)


def _clip(boxes: Boxes, height: int, width: int) -> NDArray[np.int64]:
    """The part of each box's pixels that lies within the picture."""
    pixels = _pixels(boxes)
    return np.concatenate([np.maximum(pixels[:, :2], 0), np.minimum(pixels[:, 2:], (width, height))], axis=1)


def _usable(pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (pixels[:, 2] > pixels[:, 0]) & (pixels[:, 3] > pixels[:, 1])


def _cut(sums: NDArray[np.int32], boxes: Boxes, size: int) -> tuple[Boxes, NDArray[np.float32]]:
    """The boxes that have pixels within the picture, and those pixels resized to (N, size, size, 3)."""
    pixels = _clip(boxes, sums.shape[0] - 1, sums.shape[1] - 1)
    usable = _usable(pixels)
    pixels = pixels[usable]
    left, right = _cell_edges(pixels[:, 2] - pixels[:, 0], size)
    top, bottom = _cell_edges(pixels[:, 3] - pixels[:, 1], size)
    x, y = pixels[:, 0, None], pixels[:, 1, None]
    flat, width = sums.reshape(-1, sums.shape[2]), sums.shape[1]
    upper, lower = ((y + top) * width)[:, :, None], ((y + bottom) * width)[:, :, None]
    near, far = (x + left)[:, None], (x + right)[:, None]
    area = flat.take(lower + far, axis=0) - flat.take(lower + near, axis=0)
    area -= flat.take(upper + far, axis=0) - flat.take(upper + near, axis=0)
    crops = _mean(area, (bottom - top)[:, :, None, None], (right - left)[:, None, :, None])
    return boxes[usable], crops


def _crop(image: NDArray[np.uint8], box: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """One crop (size, size, 3), for when the picture's integral is not worth its price.

    Outside the picture it is black, as the authors pad it. facenet-pytorch squeezes what is left of the
    square into the crop instead; a face followed like that at the picture's border grows with every frame.
    """
    left, top, right, bottom = (int(v) for v in _pixels(box[None])[0])
    height, width = image.shape[:2]
    patch = image[max(top, 0) : bottom, max(left, 0) : right]
    outside = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    patch = cv2.copyMakeBorder(patch, *outside, cv2.BORDER_CONSTANT)
    return shrink(cv2.integral(patch, sdepth=cv2.CV_32S), size, size)


def _cell_edges(length: int | NDArray[np.int64], cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where adaptive_avg_pool2d's cells begin and end, (…, cells) each, for sides of `length` px."""
    steps, length = np.arange(cells + 1), np.asarray(length)[..., None]
    return steps[:-1] * length // cells, -(-steps[1:] * length // cells)


def _mean(
    area: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    # Torch divides by one side after the other; so does this, for the same rounding.
    part = np.divide(area, rows.astype(np.float32), dtype=np.float32)
    return np.divide(part, columns.astype(np.float32), dtype=np.float32)
