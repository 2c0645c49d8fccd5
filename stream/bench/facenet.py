"""Loads facenet-pytorch beside any build of torch, in the rival's process alone."""

import importlib
import sys
from types import ModuleType
from typing import Any

from stream.errors import ConfigError

NEEDED = ("", ".transforms", ".transforms.functional", ".ops", ".ops.boxes")  # of torchvision, to be imported


def load_facenet(threads: int) -> ModuleType:
    """The package facenet_pytorch, with torch on so many threads. Raises ConfigError where one is missing.

    PyPI's torchvision cannot be imported beside some CPU builds of torch; of it facenet-pytorch's detection
    needs one function, which then stands in.
    """
    try:
        import torch
    except ImportError:
        raise ConfigError("the PyTorch rival needs torch: pip install 'facewitness[train]'") from None
    torch.set_num_threads(threads)
    try:
        return importlib.import_module("facenet_pytorch")
    except (ImportError, RuntimeError):
        pass
    try:
        return _without_torchvision()
    except ImportError:
        raise ConfigError(
            "the PyTorch rival needs facenet-pytorch: pip install 'facewitness[train]'"
        ) from None


def _without_torchvision() -> ModuleType:
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("torchvision")}
    stubs: dict[str, Any] = {f"torchvision{name}": ModuleType(f"torchvision{name}") for name in NEEDED}
    stubs["torchvision.transforms"].functional = stubs["torchvision.transforms.functional"]
    stubs["torchvision.ops.boxes"].batched_nms = batched_nms
    sys.modules.update(stubs)
    for name in [name for name in sys.modules if name.startswith("facenet_pytorch")]:
        del sys.modules[name]
    try:
        return importlib.import_module("facenet_pytorch")
    finally:
        for name in stubs:
            del sys.modules[name]
        sys.modules.update(before)


def batched_nms(boxes: Any, scores: Any, groups: Any, limit: float) -> Any:
    """torchvision.ops.batched_nms for one group: boxes (N, 4), scores (N,) -> kept indices, likeliest first.

    Plain numpy, which is faster than torchvision's own for the few boxes of a picture.
    """
    import torch

    from stream.suppression import suppress

    if groups.any():
        raise ValueError("one picture at a time")
    return torch.from_numpy(suppress(boxes.numpy(), scores.numpy(), limit).copy())
