"""Generated faces: a face is decided by its number, and faces that are there are not drawn again."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from models.fakes import generate


class Core:
    """OpenVINO's place: noise becomes a style, a style a picture of one colour."""

    runs = 0

    def compile_model(self, path: str, device: str, options: dict[str, int]) -> object:
        assert device == "CPU"
        assert options["INFERENCE_NUM_THREADS"] == 1
        return self._style if "Mapping" in path else self._picture

    @staticmethod
    def _style(noise: np.ndarray) -> dict[str, np.ndarray]:
        return {"style": noise / 4}

    @staticmethod
    def _picture(style: np.ndarray) -> dict[str, np.ndarray]:
        Core.runs += 1
        assert style.shape == (1, generate.STYLE)
        colour = np.clip(style[0, :3], -1, 1).astype(np.float32)
        return {"img": np.tile(colour[None, :, None, None], (1, 1, 1024, 1024))}


def test_faces_are_drawn_once_and_by_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core))
    monkeypatch.setattr(
        sys, "argv", ["generate", "--networks", "x", "--out", str(tmp_path / "a"), "--count", "3"]
    )
    Core.runs = 0
    generate.main()
    assert Core.runs == 3
    paths = sorted((tmp_path / "a").glob("*.png"))
    first = [cv2.imread(str(p)) for p in paths]
    assert [f.shape for f in first if f is not None] == [(generate.SIDE, generate.SIDE, 3)] * 3
    assert len({f.tobytes() for f in first if f is not None}) == 3
    paths[1].unlink()
    generate.main()
    assert Core.runs == 4
    again = cv2.imread(str(paths[1]))
    assert np.array_equal(again, first[1])
