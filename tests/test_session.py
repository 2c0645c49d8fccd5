"""What each provider is told when a session is opened."""

import numpy as np
import onnxruntime as ort
import pytest

from export import find_model, weights_path
from export.detector import open_detector
from export.engine import small
from export.session import CPU, CUDA, OPENVINO, TENSORRT, open_session, with_options


def test_what_is_asked_for_goes_to_the_first_provider_alone():
    first, second = with_options((CUDA, CPU), {"device_id": "1"}, 2)
    assert first == (CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "device_id": "1"})
    assert second == (CPU, {})


def test_openvino_runs_on_the_processor_with_as_many_threads_as_were_asked_for():
    name, options = with_options((OPENVINO, CPU), {}, 3)[0]
    at_once = int(options["num_streams"])
    assert (name, options["device_type"]) == (OPENVINO, "CPU")
    assert at_once >= 1
    assert int(options["num_of_threads"]) == 3 * at_once


def test_mtcnn_runs_where_it_is_fastest():
    assert small((OPENVINO, CPU)) == (CPU,)
    assert small((TENSORRT, CUDA, CPU)) == (CUDA, CPU)
    assert small((CUDA, CPU)) == (CUDA, CPU)


needs_openvino = pytest.mark.skipif(
    OPENVINO not in ort.get_available_providers(), reason="onnxruntime-openvino is not what is installed"
)


@needs_openvino
def test_on_openvino_mtcnn_finds_what_it_finds_on_the_cpu():
    crops = np.random.default_rng(0).uniform(-1, 1, (3, 3, 48, 48)).astype(np.float32)
    theirs, ours = (
        session.run(None, {session.get_inputs()[0].name: crops})
        for session in (open_session(weights_path("mtcnn_onet"), (name,)) for name in (OPENVINO, CPU))
    )
    for a, b in zip(theirs, ours, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@needs_openvino
def test_on_openvino_the_second_eye_sees_what_it_sees_on_the_cpu_in_whatever_order_it_is_asked():
    ours, theirs = (open_detector(find_model("detector"), (name, CPU)) for name in (CPU, OPENVINO))
    size = ours.card.crop.size
    crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    for n, look in ((1, False), (1, True), (2, False), (2, True), (3, True), (1, False), (2, True)):
        looks = np.full(n, look)
        wanted, got = (d.encode(crops[:n], looks) for d in (ours, theirs))
        assert np.abs(got - wanted).mean() < 0.05 * np.abs(wanted).mean()
