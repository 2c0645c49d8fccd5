"""Ablation, transfer and fusion on drawn faces: crops by kind, last layers, fits that can be wrong."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the [train] extra is not installed")

from models.ablation import EVERYTHING, runs  # noqa: E402
from models.combine import combined  # noqa: E402
from models.crop import CropSpec  # noqa: E402
from models.dataset import Mix, Pairs  # noqa: E402
from models.fuse import SILENT, fit, is_swap  # noqa: E402
from models.fused_head import IDENTITY, FusedHead  # noqa: E402
from models.mesonet import meso4  # noqa: E402
from models.probes import Probe, made_probes, method_probes  # noqa: E402
from models.train_head import Encoded, logits_of  # noqa: E402
from models.transfer import last_layer, lessons, matrix, table  # noqa: E402
from tests.drawn_faces import write_data  # noqa: E402

SPEC = CropSpec(size=256, margin=1.3)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    data, prepared = write_data(tmp_path_factory.mktemp("probes"))
    mix = Mix(stills=0.7, videos=0.3, labelled=0.0, families=("live_swap", "self_blend"), held_stills=2)
    return Pairs.open(data, prepared, SPEC, 1, 0, mix)


def test_each_family_gets_a_set_of_its_own(pairs: Pairs) -> None:
    found = made_probes(pairs, 2)
    assert [p.name for p in found] == ["live_swap", "self_blend"]
    assert all(p.real.shape == p.fake.shape == (2, 256, 256, 3) for p in found)
    again = made_probes(pairs, 2)
    assert all(np.array_equal(a.fake, b.fake) for a, b in zip(found, again, strict=True))
    assert not np.array_equal(found[0].fake, found[1].fake)
    taught = lessons(pairs, 2)
    assert [p.name for p in taught][:2] == ["live_swap", "self_blend"]
    held, learnt = found[0].real[0].tobytes(), {crop.tobytes() for p in taught for crop in p.real}
    assert held not in learnt


def test_the_two_sides_of_the_split_share_no_frame(pairs: Pairs) -> None:
    sides = [method_probes(pairs, 2, training) for training in (True, False)]
    frames = [{crop.tobytes() for p in side for crop in (*p.real, *p.fake)} for side in sides]
    assert frames[0] or frames[1]
    assert not frames[0] & frames[1]


def test_a_last_layer_learns_one_kind_and_is_asked_about_all() -> None:
    rng = np.random.default_rng(0)

    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    def probe(name: str, channel: int) -> Probe:
        real, fake = (rng.normal(120, 6, (40, 1, 1, 3)) for _ in range(2))
        fake[..., channel] += 30
        crops = [np.clip(side + np.zeros((40, 8, 8, 3)), 0, 255).astype(np.uint8) for side in (real, fake)]
        return Probe(name, *crops)

    blue, red = probe("blue", 0), probe("red", 2)
    found = matrix(Means(), CropSpec(8, 1.3), [blue, red], [probe("blue", 0), probe("red", 2)])
    assert found["blue"]["blue"] > 0.95
    assert found["red"]["red"] > 0.95
    assert found["blue"]["red"] < 0.8
    assert "| blue | 1.00 |" in table(found)
    same = torch.randn(60, 4)
    weights, mean = last_layer(same[:30], same[30:])
    assert torch.isfinite(weights).all()
    assert mean.shape == (4,)


def test_an_ablation_leaves_out_one_family_at_a_time() -> None:
    planned = runs(["a", "b", "c"])
    assert planned[EVERYTHING] == ("a", "b", "c")
    assert planned["without b"] == ("a", "c")
    assert len(planned) == 4


def windows(seen_by: tuple[bool, bool], source: str, label: float, count: int, seed: int) -> list[Encoded]:
    """Windows of two features and embeddings: each cue shows the label only where it is told to."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        features = np.zeros((4, 2 + IDENTITY), np.float32)
        features[:, :2] = rng.normal(0, 0.5, 2) + 3 * label * seen_by[0]
        embeddings = rng.standard_normal(512) + 0.5 * rng.standard_normal((3, 512))  # one person, three views
        if label and seen_by[1]:
            embeddings[1] = rng.standard_normal(512)
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        features[0, 2:] = unit.ravel()
        made.append(Encoded(features, np.ones(4, np.float32), label, source))
    return made


def test_the_fusion_finds_what_either_cue_sees() -> None:
    torch.manual_seed(0)
    head = FusedHead(2 + IDENTITY).eval()
    with torch.no_grad():
        head.artefacts.frame.weight.fill_(1.0)
        for part in head.artefacts.verdict:
            if isinstance(part, torch.nn.Linear):
                part.weight.zero_()
                part.bias.zero_()
        head.identity.shares.copy_(torch.tensor([1.0, 0.0, 0.0]))  # the plain cosines alone
    held = windows((False, False), "still:a", 0.0, 80, 1)
    held += windows((True, False), "still:a:self_blend", 1.0, 40, 2)
    held += windows((False, True), "still:a:two_person", 1.0, 40, 3)
    labels = np.array([w.label for w in held])

    def misses(only: str) -> tuple[float, float]:
        fit(head, held, only)
        logits = logits_of(head, held)
        level = np.quantile(logits[labels == 0], 0.95)
        return float((logits[80:120] < level).mean()), float((logits[120:] < level).mean())

    seam, person = misses("both")
    assert seam < 0.2
    assert person < 0.4
    assert misses("artefacts")[1] > 0.8  # blind to the person
    assert misses("identity")[0] > 0.8  # blind to the seam
    fit(head, held, "identity")
    assert float(head.shifts[0]) == SILENT
    assert float(head.scales[0]) == 0


def test_swaps_are_told_by_their_names() -> None:
    assert is_swap("faceforensics__c40__fake__Deepfakes__183_253")
    assert is_swap("still:a.jpg:neural_swap")
    assert not is_swap("faceforensics__c40__fake__Face2Face__183_253")
    assert not is_swap("still:two_person.jpg:self_blend")


def test_members_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    member = {
        "network": "meso4", "temporal": "mean", "features": 16, "spec": asdict(SPEC), "training": {},
        "encoder": meso4().state_dict(), "head": {}, "window": {"seconds": 2.0},
    }  # fmt: skip
    state = combined([member, member], ["flip"])
    assert state["features"] == 32
    assert state["name"] == "meso4_mean+meso4_mean+flip"
    with pytest.raises(ValueError, match="margins"):
        combined([member, {**member, "spec": {**member["spec"], "margin": 1.0}}], [])
    with pytest.raises(ValueError, match="second eye"):
        combined([{**member, "second": {}}], [])
