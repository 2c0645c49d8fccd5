"""The process that makes one alert's files: the clip, its annotated copy, crops at the peak, the curve."""

import json
import os
import pickle
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import av
import cv2

from models.crop import crop_face
from stream.coded import Codec, Coded
from stream.evidence.annotate import Annotated, Peak, note_at, peak_of
from stream.evidence.clip import Clip, chosen, pictures_of, remux
from stream.evidence.curve import curve_data, draw_curve
from stream.evidence.job import Job
from stream.heat import painted
from stream.values import Heat


def main() -> None:
    """Make what stdin asks for; answer with one line of JSON."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they go to all; the parent decides
    answer = os.dup(1)
    os.dup2(2, 1)  # nothing that a library prints may pass for the answer
    folder, job = received(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        told = make(job, folder)
    except OSError as error:
        if isinstance(error, av.FFmpegError):
            raise
        told = {"errno": error.errno or 5, "error": error.strerror or str(error)}
    os.write(answer, json.dumps(told).encode() + b"\n")
    os._exit(0)


def received(pipe: IO[bytes]) -> tuple[Path, Job]:
    """The folder and the job that `maker` sends."""
    folder, job, packets, notes, codecs = pickle.load(pipe)
    coded = tuple(_coded(pickle.load(pipe), codecs) for _ in range(packets))
    return folder, replace(job, packets=coded, notes=tuple(pickle.load(pipe) for _ in range(notes)))


def make(job: Job, folder: Path) -> dict[str, Any]:
    """Write the files. Returns what the manifest says of them. Raises OSError where they cannot be."""
    data = curve_data(job)
    (folder / "scores.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    write_picture(folder / "scores.png", draw_curve(data))
    peak = peak_of(job)
    told: dict[str, Any] = {"problems": [], "peak": peak.told()}
    packets = chosen(job.packets, job.alert.end)
    if len(packets) < len(job.packets):
        told["problems"].append("the connection broke: the clip has the side where the alert began")
    if not packets:
        told["problems"].append("there is no clip: no key picture of those seconds was there")
        return told
    try:
        clip = remux(packets)
    except av.FFmpegError as error:
        told["problems"].append(f"there is no clip: {packets[0].codec.name} fits into no container ({error})")
        return told
    (folder / clip.name).write_bytes(clip.data)
    told["clip"] = clip.told(job.own, job.begin, job.end)
    try:
        _seen(job, clip, peak, folder, told)
    except (av.FFmpegError, ValueError, cv2.error) as error:
        told["problems"].append(f"the clip was not decoded to its end: {error}")
    return told


def _seen(job: Job, clip: Clip, peak: Peak, folder: Path, told: dict[str, Any]) -> None:
    """What needs the clip's pictures: the crops and the annotated copy."""
    annotated, crops = Annotated(), []
    try:
        for time, image in pictures_of(clip):
            annotated.add(image, time, note_at(job.notes, time))
            for number, box, heat in peak.due(time):
                (folder / "crops").mkdir(exist_ok=True)
                crops.append({**_crop(folder, number, image, box, heat, job), "time": round(time, 3)})
    finally:
        if annotated.count:
            (folder / "annotated.mp4").write_bytes(annotated.finish())
        told["clip"]["pictures"] = annotated.count
        told["peak"]["crops"] = crops


def _crop(
    folder: Path, number: int, image: Any, box: Any, heat: Heat | None, job: Job
) -> dict[str, str | float]:
    """Cut one crop, and paint its heat map beside it where there is one. Returns their names."""
    crop, name = crop_face(image, box, job.facts.crop), f"crops/{number}.png"
    write_picture(folder / name, crop)
    if heat is None:
        return {"file": name}
    write_picture(folder / f"crops/{number}-heat.png", painted(crop, heat))
    return {"file": name, "heat": f"crops/{number}-heat.png"}


def write_picture(path: Path, image: Any) -> None:
    """A picture (H, W, 3) BGR as PNG. Raises OSError."""
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def _coded(sent: tuple[Coded, int], codecs: list[Codec]) -> Coded:
    coded, place = sent
    return replace(coded, codec=codecs[place])


def _end_with_parent() -> None:
    """The parent holds the other end of stdin; it closes even if the parent is killed."""
    sys.stdin.buffer.read(1)
    os._exit(1)
