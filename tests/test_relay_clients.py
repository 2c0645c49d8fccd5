"""Other people's WHIP clients on the relay: FFmpeg's own command, and FFmpeg's muxer through PyAV."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.networks import open_networks
from stream.relay.access import Role
from stream.relay.consent import FAILURES, INTERVAL
from stream.relay.output import Kind
from tests import clips
from tests.relay_peers import Relay, closing, poll
from tests.test_relay_http import TOKENS, make_certificate

NAME = "studio"


@pytest.fixture(scope="module")
def networks():
    return open_networks("detector", ("CPUExecutionProvider",), 1, 60)


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    package = pytest.importorskip(
        "imageio_ffmpeg", reason="imageio-ffmpeg, which brings an FFmpeg, is missing"
    )
    command = package.get_ffmpeg_exe()
    muxers = subprocess.run([command, "-hide_banner", "-muxers"], capture_output=True, text=True).stdout
    if " whip " not in muxers:
        pytest.skip("this FFmpeg has no WHIP muxer")
    return command


@contextlib.contextmanager
def sending(command: list[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def to_whip(ffmpeg: str, clip: Path, url: str, *more: str) -> list[str]:
    """FFmpeg, sending a clip again and again at its own pace, with a tone."""
    words = [ffmpeg, "-loglevel", "warning", "-re", "-stream_loop", "-1", "-i", str(clip)]
    words += ["-re", "-f", "lavfi", "-i", "sine=frequency=440", "-map", "0:v", "-map", "1:a"]
    words += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline"]
    words += [
        "-pix_fmt",
        "yuv420p",
        "-g",
        "30",
        "-threads",
        "1",
        "-c:a",
        "libopus",
        "-ar",
        "48000",
        "-ac",
        "2",
    ]
    return [*words, *more, "-f", "whip", url]


def test_ffmpegs_whip_muxer(networks, ffmpeg, tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.portraits(90, step=0), gop=30)

    async def scenario():
        async with Relay(networks, tokens=TOKENS) as relay:
            url = f"{relay.url}/whip/{NAME}"
            with sending(to_whip(ffmpeg, clip, url, "-authorization", TOKENS[Role.PUBLISH])) as process:
                assert await poll(lambda: connected(relay)), process.poll()
                token = TOKENS[Role.WATCH]
                annotated = await relay.watch(NAME, sound=True, token=token)
                plain = await relay.watch(NAME, "plain", token=token)
                async with closing(annotated, plain):
                    a, b = await annotated.until(20), await plain.until(20)
                    banner, below = np.s_[4:18, 6:60], np.s_[120:200, 260:310]
                    assert np.abs(a[banner].astype(int) - b[banner]).mean() > 20
                    assert np.abs(a[below].astype(int) - b[below]).mean() < 8
                    assert await poll(lambda: bool(relay.registry.channels[NAME].row()["tracks"]))
                    assert await poll(lambda: len(annotated.heard) > 50)
                    steps = {(b[1] - a[1]) & 0xFFFFFFFF for a, b in itertools.pairwise(annotated.heard)}
                    assert steps == {960}
                    process.terminate()  # FFmpeg says DELETE
                    assert await poll(lambda: NAME not in relay.registry.channels, 12)
                    assert await poll(lambda: annotated.ended)
                assert process.wait(10) is not None

    asyncio.run(scenario())


def test_ffmpegs_high_profile(networks, ffmpeg, tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.numbered(300))

    async def scenario():
        async with Relay(networks) as relay:
            more = ("-preset", "veryfast", "-profile:v", "high")
            with sending(to_whip(ffmpeg, clip, f"{relay.url}/whip/{NAME}", *more)) as process:
                assert await poll(lambda: connected(relay)), process.stderr.read()
                viewer = await relay.watch(NAME, "plain")
                async with closing(viewer):
                    numbers = [clips.number_of(await viewer.until(1)) for _ in range(10)]
                    assert numbers == sorted(numbers)
                    assert numbers[-1] > numbers[0]

    asyncio.run(scenario())


def test_ffmpeg_without_a_token_is_kept_out(networks, ffmpeg, tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.numbered(30))

    async def scenario():
        async with Relay(networks, tokens=TOKENS) as relay:
            with sending(to_whip(ffmpeg, clip, f"{relay.url}/whip/{NAME}")) as process:
                assert await asyncio.to_thread(process.wait, 20) != 0
                assert "401" in process.stderr.read()
            assert relay.registry.channels == {}

    asyncio.run(scenario())


def test_a_publisher_that_is_killed_is_gone_within_ten_seconds(networks, ffmpeg, tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.numbered(300))

    async def scenario():
        async with Relay(networks) as relay:
            with sending(to_whip(ffmpeg, clip, f"{relay.url}/whip/{NAME}")) as process:
                assert await poll(lambda: connected(relay))
                process.kill()
                begin = time.monotonic()
                assert await poll(lambda: NAME not in relay.registry.channels, 12)
                assert time.monotonic() - begin < 10

    asyncio.run(scenario())


def test_ffmpeg_stays_though_it_answers_no_consent_check(networks, ffmpeg, tmp_path):
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.numbered(60))

    async def scenario():
        async with Relay(networks) as relay:
            with sending(to_whip(ffmpeg, clip, f"{relay.url}/whip/{NAME}")) as process:
                assert await poll(lambda: connected(relay))
                await asyncio.sleep(1.3 * FAILURES * (1.2 * INTERVAL + 0.5))
                assert connected(relay), process.poll()
                assert process.poll() is None

    asyncio.run(scenario())


def connected(relay: Relay) -> bool:
    return NAME in relay.registry.channels and relay.registry.channels[NAME].frames.connected


def test_pyavs_whip_muxer(networks, tmp_path):
    if "whip" not in av.formats_available:
        pytest.skip("this PyAV has no WHIP muxer")
    cert, key = make_certificate(tmp_path)

    async def scenario():
        async with Relay(networks) as relay:
            words = (f"{relay.url}/whip/{NAME}", str(cert), str(key))
            with sending([sys.executable, "-m", "tests.test_relay_clients", *words]) as process:
                assert await poll(lambda: connected(relay)), process.poll()
                viewer = await relay.watch(NAME, "plain", codecs=("VP8",))
                async with closing(viewer):
                    numbers = [clips.number_of(await viewer.until(1)) for _ in range(20)]
                    assert numbers == sorted(numbers)
                    assert numbers[-1] > numbers[0]
                    assert relay.registry.channels[NAME].codecs(Kind.PLAIN) == ("VP8",)

    asyncio.run(scenario())


def send(url: str, cert: str, key: str) -> None:
    """Send numbered pictures for as long as the process lives."""
    options = {"cert_file": cert, "key_file": key, "whip_flags": "dtls_active"}
    with av.open(url, "w", format="whip", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.profile, stream.codec_context.gop_size = "Baseline", 30
        stream.codec_context.time_base = Fraction(1, 30)
        begin = time.monotonic()
        for number, picture in enumerate(clips.numbered(9000)):
            time.sleep(max(begin + number / 30 - time.monotonic(), 0))
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))


if __name__ == "__main__":
    send(*sys.argv[1:4])
