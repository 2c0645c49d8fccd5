"""Runs the process apart for each file, and ends it in time: `Checker.check`, from any thread."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stream.bounded_process import BoundedProcess, StoppedError
from stream.check.child import BOOT
from stream.check.order import LONGEST, Checked, CheckOptions
from stream.check.values import Failure, FileReport, Kind
from stream.errors import Crashed, FileMissing, IsDirectory, TooLarge, TooSlow
from stream.values import State

Progress = Callable[[float], None]  # share that is done, 0..1


def check_file(path: Path, options: CheckOptions, progress: Progress | None = None) -> Checked:
    """Check one file in a process of its own. Whatever is wrong with it stands in `report.error`.

    Raises ModelError or ProviderError only through the report's code: a broken model is every file's error.
    """
    return Checker().check(path, options, progress)


class Checker:
    """One check at a time; `stop` may be called by another thread."""

    def __init__(self) -> None:
        self._apart = BoundedProcess()

    def check(self, path: Path, options: CheckOptions, progress: Progress | None = None) -> Checked:
        """The report of a file; never raises for what the file is."""
        failure = refused(path, options)
        if failure is not None:
            return _failed(path, failure)
        limits = options.limits
        environment = {"OPENCV_IO_MAX_IMAGE_PIXELS": str(limits.pixels)}
        try:
            with self._apart.run(BOOT, limits.patience, environment) as process:
                return self._answer(process, path, options, progress)
        except StoppedError:
            return _failed(path, _stopped(path))

    def stop(self) -> None:
        """End what runs, and what would follow."""
        self._apart.stop()

    def _answer(
        self, process: "subprocess.Popen[bytes]", path: Path, options: CheckOptions, progress: Progress | None
    ) -> Checked:
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"path": sys.path, "file": str(path.absolute()), "options": options.to_json()}
        with contextlib.suppress(OSError):  # it is dead: it says nothing then
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        while line := process.stdout.readline(LONGEST):
            try:
                raw = json.loads(line)
                if "report" in raw:
                    return Checked.from_raw(raw)
                share = float(raw["progress"])
            except (ValueError, KeyError, TypeError):
                break  # it writes what we did not write: as good as dead
            if progress is not None:
                progress(share)
        return _failed(path, self._why(process, path, options))

    def _why(self, process: "subprocess.Popen[bytes]", path: Path, options: CheckOptions) -> Failure:
        if self._apart.late:
            limit = options.limits.patience
            return Failure(TooSlow.exit_code, f"{path.name}: the check took longer than {limit:g} s")
        if self._apart.stopped:
            return _stopped(path)
        process.kill()
        code = process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return Failure(Crashed.exit_code, f"{path.name}: the process that decoded it {how}")


def refused(path: Path, options: CheckOptions) -> Failure | None:
    """Why a file is not even opened; None where it is."""
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None)
        return Failure(FileMissing.exit_code, f"{path.name}: {why or 'cannot be opened'}")
    if path.is_dir():
        return Failure(IsDirectory.exit_code, f"{path.name}: is a directory")
    if not path.is_file():  # a FIFO would never end
        return Failure(FileMissing.exit_code, f"{path.name}: not a plain file")
    if facts.st_size > options.limits.bytes:
        most = options.limits.bytes >> 20
        return Failure(TooLarge.exit_code, f"{path.name}: {facts.st_size >> 20} MiB, {most} MiB are the most")
    return None


def _stopped(path: Path) -> Failure:
    return Failure(TooSlow.exit_code, f"{path.name}: it was stopped")


def _failed(path: Path, failure: Failure) -> Checked:
    return Checked(FileReport(path.name, "", 0, Kind.UNKNOWN, State.NO_FACE, None, (), error=failure))
