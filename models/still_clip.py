"""A still picture as a short video of itself, without any loss, so that the live path can watch it."""

from pathlib import Path

import av
import cv2

SECONDS, RATE = 3, 10  # long enough for a confirmed track and a full window


def write_still_clip(picture: Path, out: Path) -> None:
    """Write the picture's pixels, unchanged, as every frame of a Matroska file.

    Raises ValueError where it is no picture that OpenCV reads.
    """
    image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not a picture that can be read")
    with av.open(str(out), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "bgr0"
        frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="bgr0")
        for index in range(SECONDS * RATE):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
