"""Likeness: every still and every video that may be trained on gets a vector, and donors are chosen by it."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.fakes.donors import Looks  # noqa: E402
from models.inception_resnet_v1 import InceptionResnetV1  # noqa: E402
from models.likeness import write_likeness  # noqa: E402
from tests.drawn_faces import write_data  # noqa: E402


def test_stills_and_videos_get_a_unit_vector(tmp_path: Path) -> None:
    data, prepared = write_data(tmp_path, stills=5)
    kept = prepared / "videos" / "faceforensics__c40__real__183.npz"
    (prepared / "videos" / "deepfacelive__real__x.npz").write_bytes(kept.read_bytes())
    (prepared / "videos" / "faceforensics__c40__real__twin.npz").write_bytes(kept.read_bytes())
    torch.manual_seed(0)
    torch.set_num_threads(1)
    assert write_likeness(data, prepared, InceptionResnetV1().eval()) == 5 + 5
    looks = Looks.open(prepared)
    for name in ("Person_000.png", "faceforensics__c40__real__183"):
        vector = looks.of(name)
        assert vector is not None
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    assert looks.of("deepfacelive__real__x") is None, "validation only"
    assert not looks.of_all(["nobody", "Person_001.png"])[0].any()
    twin, still = looks.of("faceforensics__c40__real__twin"), looks.of("Person_000.png")
    assert np.allclose(twin, looks.of("faceforensics__c40__real__183"), atol=1e-3)
    assert not np.allclose(twin, still, atol=1e-3)
