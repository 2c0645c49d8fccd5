"""The recogniser that tells the swapper whom to paint: InceptionResnetV1 as int8 ONNX, 5 ms a face."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.dataset import Mix
from models.fakes.aligned import RECOGNISER_SIZE, as_input, cut
from models.inception_resnet_v1 import load_embedder
from models.swapper_faces import training_faces

CALIBRATION_FACES, SPREAD = 96, 50  # every 50th training face


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime's quantisation is not annotated
    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self._left = iter([{"faces": inputs[i : i + 4]} for i in range(0, len(inputs), 4)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def write_recogniser(weights: Path, data: Path, prepared: Path, out: Path) -> None:
    """Write the embedder as int8 (static, QDQ, per channel), calibrated on aligned training faces.

    Raises FileNotFoundError where the weights are not there.
    """
    chosen = islice(training_faces(data, prepared, Mix().held_stills), 0, CALIBRATION_FACES * SPREAD, SPREAD)
    faces = np.stack([cut(f.image, f.points, RECOGNISER_SIZE)[0] for _, f in chosen])
    plain, shaped = out.with_suffix(".float.onnx"), out.with_suffix(".shaped.onnx")
    torch.onnx.export(
        load_embedder(weights),
        (torch.zeros(2, 3, RECOGNISER_SIZE, RECOGNISER_SIZE),),
        str(plain),
        input_names=["faces"],
        output_names=["embedding"],
        dynamic_axes={"faces": {0: "n"}, "embedding": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    quant_pre_process(str(plain), str(shaped), skip_symbolic_shape=True)
    part = out.with_suffix(".part")
    quantize_static(
        str(shaped),
        str(part),
        _Reader(as_input(faces)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    part.replace(out)
    plain.unlink()
    shaped.unlink()
