"""Compares our MTCNN with facenet-pytorch's, parity and speed: `python -m tests.bench_mtcnn [FOLDER]`."""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stream.faces import FaceDetector

Image = NDArray[np.uint8]  # (H, W, 3) BGR


@dataclass(frozen=True)
class Parity:
    """The largest differences over all faces of all pictures."""

    pictures: int
    faces: int
    miscounts: int  # pictures in which both find different numbers of faces
    box: float  # px
    landmark: float  # px
    probability: float


@dataclass(frozen=True)
class Speed:
    """CPU milliseconds a picture, median, one thread each, taken in turns."""

    width: int
    height: int
    min_face: int
    ours: float
    facenet: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.facenet / self.ours


def reference(min_face: int) -> Any:
    """facenet_pytorch.MTCNN on one thread.

    PyPI's torchvision cannot be imported beside some CPU builds of torch; of it facenet-pytorch's detection
    needs one function, which then stands in.
    """
    torch.set_num_threads(1)
    try:
        module = importlib.import_module("facenet_pytorch")
    except (ImportError, RuntimeError):
        module = _import_without_torchvision()
    return module.MTCNN(keep_all=True, min_face_size=min_face)


def _import_without_torchvision() -> ModuleType:
    names = ["", ".transforms", ".transforms.functional", ".ops", ".ops.boxes"]
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("torchvision")}
    stubs = {f"torchvision{name}": ModuleType(f"torchvision{name}") for name in names}
    setattr(stubs["torchvision.transforms"], "functional", stubs["torchvision.transforms.functional"])  # noqa: B010
    setattr(stubs["torchvision.ops.boxes"], "batched_nms", _batched_nms)  # noqa: B010
    sys.modules.update(stubs)
    for name in [name for name in sys.modules if name.startswith("facenet_pytorch")]:
        del sys.modules[name]
    try:
        return importlib.import_module("facenet_pytorch")
    finally:
        for name in stubs:
            del sys.modules[name]
        sys.modules.update(before)


def _batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, limit: float
) -> torch.Tensor:
    """torchvision.ops.batched_nms for one group, plainly."""
    assert not groups.any(), "one picture at a time"
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        start = torch.maximum(boxes[first, :2], boxes[order, :2])
        sides = (torch.minimum(boxes[first, 2:], boxes[order, 2:]) - start).clamp(min=0)
        common = sides[:, 0] * sides[:, 1]
        order = order[common / (area[first] + area[order] - common) <= limit]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


def compare(pictures: Iterator[Image], min_face: int = 40) -> Parity:
    """Run both detectors over pictures. Faces are compared in order, the largest first."""
    theirs, ours = reference(min_face), FaceDetector(min_face=min_face)
    worst, count, faces, miscounts = np.zeros(3), 0, 0, 0
    for image in pictures:
        count += 1
        boxes, probabilities, points = theirs.detect(np.ascontiguousarray(image[..., ::-1]), landmarks=True)
        found = ours.detect(image)
        if len(found) != (0 if boxes is None else len(boxes)):
            miscounts += 1
            continue
        faces += len(found)
        for i, face in enumerate(found):
            errors = [
                np.abs(face.box - boxes[i].astype(np.float64)).max(),
                np.abs(face.landmarks - points[i].astype(np.float64)).max(),
                abs(face.probability - probabilities[i]),
            ]
            worst = np.maximum(worst, errors)
    return Parity(count, faces, miscounts, *map(float, worst))


def race(image: Image, min_face: int = 80, rounds: int = 15) -> Speed:
    """Time both detectors on one picture in turns, so that a busy machine slows both alike."""
    theirs, ours = reference(min_face), FaceDetector(min_face=min_face)
    rgb, times = np.ascontiguousarray(image[..., ::-1]), np.zeros((rounds + 2, 2))
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    for row in times:
        begin = time.process_time()
        theirs.detect(rgb, landmarks=True)
        middle = time.process_time()
        ours.detect(image)
        row[:] = middle - begin, time.process_time() - middle
    cv2.setNumThreads(cv2_threads)
    facenet, own = (float(v) for v in np.median(times[2:], axis=0) * 1000)
    return Speed(image.shape[1], image.shape[0], min_face, own, facenet)


def portraits() -> tuple[Image, Image]:
    """Two public-domain portraits out of installed packages. Raises FileNotFoundError without them."""
    images = []
    for package, path in (
        ("skimage", "data/astronaut.png"),
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ):
        spec = find_spec(package)
        image = cv2.imread(str(Path(spec.origin).parent / path)) if spec and spec.origin else None
        if image is None:
            raise FileNotFoundError(f"no {path} of {package}: pip install 'facewitness[dev]'")
        images.append(image)
    return images[0], images[1]


def views() -> list[Image]:
    """The portraits in 32 ways: mirrored, scaled, cut, turned, dark, blurred, compressed, grey, together."""
    found: list[Image] = []
    for image in portraits():
        height, width = image.shape[:2]
        found += [
            image,
            image[:, ::-1],
            image[: height * 2 // 3],
            image[height // 20 :, width // 10 : width * 9 // 10],
        ]
        found += [
            cv2.resize(image, None, fx=f, fy=f, interpolation=cv2.INTER_AREA) for f in (0.4, 0.63, 1.5, 2.2)
        ]
        for degrees in (-20, 15):
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
            found.append(cv2.warpAffine(image, turn, (width, height)))
        found += [image // 2, cv2.GaussianBlur(image, (0, 0), 2)]
        found.append(
            cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 15))[1], cv2.IMREAD_COLOR)
        )
        found.append(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))
    found += [scene(1280, 720, (300, 420)), scene(854, 480, (150, 200, 250)), scene(641, 361, (180,) * 3)]
    found.append(scene(1920, 1080, (160, 240, 360, 500)))
    return [np.ascontiguousarray(image) for image in found]


def scene(width: int, height: int, sides: tuple[int, ...]) -> Image:
    """The portraits in turn, side by side on a grey wall, `sides` px high."""
    wall, x = np.full((height, width, 3), 110, np.uint8), 0
    for number, side in enumerate(sides):
        image = portraits()[number % 2]
        small = cv2.resize(
            image, (side * image.shape[1] // image.shape[0], side), interpolation=cv2.INTER_AREA
        )
        y, end = (height - side) // 2, min(x + small.shape[1], width)
        wall[y : y + side, x:end] = small[:, : end - x]
        x = min(end + 10, width - 1)
    return wall


def _read(folder: Path, limit: int) -> Iterator[Image]:
    count = 0
    for path in sorted(folder.rglob("*")):
        image = cv2.imread(str(path)) if path.suffix.lower() in {".jpg", ".jpeg", ".png"} else None
        if image is not None and count < limit:
            count += 1
            yield image


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_mtcnn", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, help="pictures; without it, 32 views of two portraits"
    )
    parser.add_argument("--limit", type=int, default=200, help="pictures at most")
    parser.add_argument("--json", action="store_true", help="figures as JSON instead of a table")
    given = parser.parse_args()
    parity = compare(_read(given.folder, given.limit) if given.folder else iter(views()))
    speeds = [race(scene(1280, 720, (420, 500)), min_face) for min_face in (40, 60, 80)]
    if given.json:
        print(
            json.dumps({"parity": asdict(parity), "speed": [asdict(s) | {"ratio": s.ratio} for s in speeds]})
        )
        return
    errors = f"{parity.box:.1e} | {parity.landmark:.1e} | {parity.probability:.1e}"
    print("| pictures | faces | miscounts | box, px | landmarks, px | probability |\n|" + " --- |" * 6)
    print(f"| {parity.pictures} | {parity.faces} | {parity.miscounts} | {errors} |\n")
    print("| picture | min face | facenet-pytorch, ms | ours, ms | faster |\n|" + " --- |" * 5)
    for s in speeds:
        print(f"| {s.width}x{s.height} | {s.min_face} | {s.facenet:.1f} | {s.ours:.1f} | {s.ratio:.1f}x |")


if __name__ == "__main__":
    main()
