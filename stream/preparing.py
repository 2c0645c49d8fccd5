"""Opens what an edit of streams.toml needs in a thread of its own: a large model takes seconds."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stream.config import Settings
from stream.errors import FacewitnessError
from stream.networks import NetworkPool, Networks
from stream.sources import find
from stream.stream_config import Plan, in_place, kept_process

log = logging.getLogger(__name__)


def networks_for(pool: NetworkPool, wanted: Sequence[Settings]) -> dict[str, Networks]:
    """The networks of each stream, by its name. Raises a FacewitnessError that names the stream."""
    found = {}
    for settings in wanted:
        try:
            find(settings.source)
            found[settings.name] = pool.get(settings.model, settings.min_face)
        except FacewitnessError as error:
            raise type(error)(f"{settings.name}: {error}") from None
    return found


class Preparation:
    """A plan on its way: its new and altered streams, and the networks that are being opened for them."""

    def __init__(self, plan: Plan, changed: Sequence[Settings], pool: NetworkPool) -> None:
        """Begin; does not wait."""
        self.plan, self.changed = plan, changed
        self._pool = pool
        self._networks: Mapping[str, Networks] = {}
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="opening networks", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it came to an end, good or bad."""
        return not self._thread.is_alive()

    def networks(self) -> Mapping[str, Networks]:
        """Those of each changed stream, once it is done. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._networks

    def _run(self) -> None:
        try:
            self._networks = networks_for(self._pool, self.changed)
        except Exception as error:
            self._error = error


class Edits:
    """Edits on their way, one after the other; of those that wait the newest counts."""

    def __init__(self, pool: NetworkPool, process: Settings) -> None:
        """process: whose settings of the process hold till the end."""
        self._pool, self._process = pool, process
        self._asked: Plan | None = None
        self._coming: Preparation | None = None

    @property
    def opening(self) -> bool:
        """Whether networks are being opened, which nobody uses yet."""
        return self._coming is not None

    @property
    def pending(self) -> bool:
        """Whether any is on its way."""
        return self.opening or self._asked is not None

    def offer(self, plan: Plan) -> None:
        """The newest plan."""
        self._asked = plan

    def step(self, running: Mapping[str, Settings]) -> Preparation | None:
        """Give what is prepared, unless a newer plan waits; begin with that one. running: by name."""
        ready = None
        if self._coming is not None and self._coming.done:
            ready = self._coming if self._asked is None else None
            self._coming = None
        if self._coming is None and self._asked is not None:
            plan, self._asked = self._asked, None
            streams, held = zip(*(kept_process(self._process, each) for each in plan.streams), strict=True)
            changed = [s for s in streams if s.name not in running or not in_place(running[s.name], s)]
            self._coming = Preparation(replace(plan, streams=streams), changed, self._pool)
            if held[0]:
                log.warning("%s: %s: taken up at the next start", plan.file, ", ".join(held[0]))
        return ready
