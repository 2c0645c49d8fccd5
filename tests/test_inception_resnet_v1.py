"""InceptionResnetV1: facenet-pytorch's layout, its checkpoints, and what a frozen TensorFlow graph holds."""

import struct
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need the [train] extra")

from models import vggface2  # noqa: E402
from models.inception_resnet_v1 import (  # noqa: E402
    InceptionResnetV1,
    InceptionResnetV1Logit,
    load_detector,
    load_embedder,
)


@pytest.fixture(scope="module")
def network() -> InceptionResnetV1:
    torch.manual_seed(0)
    net = InceptionResnetV1()
    with torch.no_grad():
        for name, buffer in net.named_buffers():  # statistics of a trained network are not 0 and 1
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return net.eval()


def test_the_layout_is_facenets(network: InceptionResnetV1) -> None:
    state = network.state_dict()
    assert sum(p.numel() for p in network.parameters()) == 23_482_624
    assert len(state) == 714
    shapes = {
        "conv2d_1a.conv.weight": (32, 3, 3, 3),
        "repeat_1.4.branch2.2.bn.running_var": (32,),
        "mixed_6a.branch0.conv.weight": (384, 256, 3, 3),
        "repeat_2.9.branch1.1.conv.weight": (128, 128, 1, 7),
        "mixed_7a.branch2.2.conv.weight": (256, 256, 3, 3),
        "repeat_3.0.conv2d.bias": (1792,),
        "block8.branch1.2.conv.weight": (192, 192, 3, 1),
        "last_linear.weight": (512, 1792),
        "last_bn.weight": (512,),
    }
    assert {k: tuple(state[k].shape) for k in shapes} == shapes
    assert "last_linear.bias" not in state


def test_embeddings_are_unit_vectors_for_any_side(network: InceptionResnetV1) -> None:
    for side in (96, 160):
        with torch.no_grad():
            found = network(torch.randn(2, 3, side, side))
        assert found.shape == (2, 512)
        assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)
        assert (found[0] - found[1]).abs().max() > 1e-4


def test_equals_facenet_pytorch(network: InceptionResnetV1, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = facenet_class(monkeypatch)(pretrained=None)
    theirs.load_state_dict(network.state_dict())
    faces = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.allclose(theirs.eval()(faces), network(faces), atol=1e-5)


def facenet_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """facenet-pytorch's own class, from its source alone: importing the package would drag in torchvision."""
    package = find_spec("facenet_pytorch")
    if package is None or package.origin is None:
        pytest.skip("facenet-pytorch is not installed")
    stubs = {
        "requests": {},
        "requests.adapters": {"HTTPAdapter": None},
        "facenet_source": {},
        "facenet_source.models.utils": {},
        "facenet_source.models.utils.download": {"download_url_to_file": None},  # nothing is downloaded here
        "facenet_source.models": {},
    }
    for name, contents in stubs.items():
        stub = ModuleType(name)
        vars(stub).update(contents, __path__=[])
        monkeypatch.setitem(sys.modules, name, stub)
    source = Path(package.origin).parent / "models" / "inception_resnet_v1.py"
    spec = spec_from_file_location("facenet_source.models.inception_resnet_v1", source)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.InceptionResnetV1


def test_a_classifier_of_many_people_loads_as_an_embedder(network: InceptionResnetV1, tmp_path: Path) -> None:
    state = {**network.state_dict(), "logits.weight": torch.zeros(7, 512), "logits.bias": torch.zeros(7)}
    torch.save(state, tmp_path / "vggface2.pt")
    loaded, faces = load_embedder(tmp_path / "vggface2.pt"), torch.randn(1, 3, 96, 96)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(faces), network(faces))
    del state["last_linear.weight"]
    torch.save(state, tmp_path / "vggface2.pt")
    with pytest.raises(RuntimeError, match=r"last_linear\.weight"):
        load_embedder(tmp_path / "vggface2.pt")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_detector_in_the_common_layout_loads(
    network: InceptionResnetV1, tmp_path: Path, prefix: str
) -> None:
    torch.manual_seed(1)
    trained = InceptionResnetV1Logit()
    trained.load_state_dict(network.state_dict(), strict=False)
    state = {prefix + k: v for k, v in trained.state_dict().items()}
    torch.save({"epoch": 3, "model_state_dict": state}, tmp_path / "detector.pth")
    loaded, faces = load_detector(tmp_path / "detector.pth"), torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        wanted = trained.eval().features(faces) @ trained.logits.weight[0] + trained.logits.bias
        assert torch.allclose(loaded(faces), wanted, atol=1e-5)
    assert loaded(faces[:1]).shape == (1,)


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"model_state_dict": 3}, [1]])
def test_another_layout_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="model_state_dict"):
        load_detector(tmp_path / "x.pth")


def test_a_checkpoint_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"model_state_dict": Path("/")}, tmp_path / "x.pth")
    with pytest.raises(Exception, match=r"(?i)weights.only|unsupported"):
        load_detector(tmp_path / "x.pth")


# A frozen graph of our own making: the same wire format, written here by hand.


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def constant(name: str, array: np.ndarray, dtype: int = 1, as_floats: bool = False) -> bytes:
    shape = b"".join(field(2, field(1, side)) for side in array.shape)
    raw = array.astype("<f4").tobytes()
    tensor = field(1, dtype) + field(2, shape) + (field(5, raw) if as_floats else field(4, raw))
    value = field(5, field(1, b"value") + field(2, field(8, tensor)))
    kind = field(5, field(1, b"dtype") + field(2, field(6, dtype)))
    return field(1, field(1, name.encode()) + field(2, b"Const") + kind + value)


def frozen(network: InceptionResnetV1) -> bytes:
    """The network as FaceNet's frozen graph names it, among other nodes."""
    nodes = [
        field(1, field(1, b"input") + field(2, b"Placeholder")),
        constant("elsewhere/weights", np.zeros(3)),
    ]
    leaves = {
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
        "weight": "Const",
    }
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        *path, leaf = key.split(".")
        array = tensor.numpy()
        if path[-1] in ("bn", "last_bn"):
            scope = slim_scope(path[:-1], network) if path[-1] == "bn" else "Bottleneck"
            name = f"{scope}/BatchNorm/{leaves[leaf]}"
        elif path == ["last_linear"]:
            name, array = "Bottleneck/weights", array.T
        elif path[-1] == "conv2d":
            name = (
                slim_scope(path[:-1], network)
                + "/Conv2d_1x1/"
                + {"weight": "weights", "bias": "biases"}[leaf]
            )
        else:
            name = slim_scope(path[:-1], network) + "/weights"
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        nodes.append(constant(f"InceptionResnetV1/{name}", array))
    return b"".join(nodes) + field(2, b"\x08\x01")  # versions


def slim_scope(path: list[str], network: InceptionResnetV1) -> str:
    """ "repeat_1.0.branch1.1" -> "Repeat/block35_1/Branch_1/Conv2d_0b_3x3", as slim named them."""
    stem = {n: n.capitalize() + s for n, s in zip(
        ("conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a", "conv2d_4b"),
        ("_3x3", "_3x3", "_3x3", "_1x1", "_3x3", "_3x3"), strict=True)}  # fmt: skip
    if path[0] in stem:
        return stem[path[0]]
    repeats = {
        "repeat_1": ("Repeat", "block35"),
        "repeat_2": ("Repeat_1", "block17"),
        "repeat_3": ("Repeat_2", "block8"),
    }
    if path[0] in repeats:
        outer, block = repeats[path[0]]
        head, rest = f"{outer}/{block}_{int(path[1]) + 1}", path[2:]
    else:
        head, rest = {"mixed_6a": "Mixed_6a", "mixed_7a": "Mixed_7a", "block8": "Block8"}[path[0]], path[1:]
    if not rest:
        return head
    branch = network.get_submodule(".".join([*path[: -len(rest)], rest[0]]))
    conv = network.get_submodule(".".join(path)).conv
    strides = conv.stride == (2, 2)
    letter = "1a" if strides else "0" + "abc"[int(rest[1])] if len(rest) > 1 else ""
    sides = "x".join(map(str, conv.kernel_size))
    assert isinstance(branch, torch.nn.Module)
    name = f"Conv2d_{letter}_{sides}" if letter else f"Conv2d_{sides}"
    return f"{head}/{rest[0].replace('branch', 'Branch_')}/{name}"


def test_a_frozen_graph_becomes_the_same_network(
    network: InceptionResnetV1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graph.pb").write_bytes(frozen(network))
    out = tmp_path / "out.pt"
    monkeypatch.setattr(sys, "argv", ["vggface2", str(tmp_path / "graph.pb"), "--out", str(out)])
    vggface2.main()
    loaded, wanted = load_embedder(out).state_dict(), network.state_dict()
    assert list(loaded) == list(wanted)
    for key, tensor in wanted.items():
        assert key.endswith("num_batches_tracked") or torch.equal(loaded[key], tensor), key


def test_constants_of_all_kinds_are_read() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = constant("a", values) + constant("b", values, as_floats=True) + constant("ints", values, dtype=3)
    one = (
        field(1, 1) + field(2, field(2, field(1, 4))) + field(5, struct.pack("<f", 2.5))
    )  # one value for all four
    graph += field(
        1, field(1, b"c") + field(2, b"Const") + field(5, field(1, b"value") + field(2, field(8, one)))
    )
    found = vggface2.constants(graph)
    assert sorted(found) == ["a", "b", "c"]
    assert np.array_equal(found["a"], values)
    assert np.array_equal(found["b"], values)
    assert np.array_equal(found["c"], np.full(4, 2.5, np.float32))


def test_other_bytes_are_refused() -> None:
    for graph in (
        b"",
        b"\xff" * 40,
        b"\x0a\x7fshort",
        constant("InceptionResnetV1/Conv2d_1a_3x3/weights", np.zeros(3)),
    ):
        with pytest.raises(ValueError, match="not "):
            vggface2.convert(graph)
