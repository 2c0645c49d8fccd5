"""What stands behind the page beside the streams: checks, history, accounts. Opened once, closed with it."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stream.check.order import CheckOptions
from stream.panel.jobs import GENTLE, LIMITS, Job, Jobs

if TYPE_CHECKING:
    from stream.accounts.store import Accounts
    from stream.history.recorder import Recorder
    from stream.history.store import History

FLUSH = 5.0  # s that entries still get to reach the database at the end


class Asked(Protocol):
    """The settings that say what there is; those of `watch` and of `relay` are such."""

    @property
    def model(self) -> str:
        """The detector's name or file."""

    @property
    def threads(self) -> int:
        """Of each network."""

    @property
    def no_check(self) -> bool:
        """No files are checked."""

    @property
    def history(self) -> str | None:
        """The database's URL, "" for the user's own one, None for none."""

    @property
    def login(self) -> bool:
        """People log in."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Each part may be missing."""

    jobs: Jobs | None = None
    history: "History | None" = None
    accounts: "Accounts | None" = None
    recorder: "Recorder | None" = None

    @staticmethod
    def open(asked: "Asked", providers: tuple[str, ...]) -> "Panel":
        """Open what the settings ask for; a log-in needs a database in any case.

        providers: onnxruntime's names, for the checks. Raises ConfigError, OutputError.
        """
        options = CheckOptions(asked.model, providers, asked.threads, LIMITS, nice=GENTLE)
        kept, recorder, accounts = None, None, None
        if asked.history is not None or asked.login:
            from stream.history.address import default_database  # on use: the packages are an extra

            url = asked.history or default_database()
            if asked.history is not None:
                from stream.history.recorder import Recorder
                from stream.history.store import History

                kept = History(url)
                recorder = Recorder(kept)
            if asked.login:
                from stream.accounts.store import Accounts

                accounts = Accounts(url)

        def done(job: Job) -> None:
            if recorder is not None and job.checked is not None:
                recorder.put_check(job.checked.report, job.by, time.time())

        return Panel(None if asked.no_check else Jobs(options, done), kept, accounts, recorder)

    def close(self) -> None:
        """End what runs, write what waits, within seconds."""
        if self.jobs is not None:
            self.jobs.close()
        if self.recorder is not None:
            self.recorder.close(FLUSH)
        for database in (self.history, self.accounts):
            if database is not None:
                database.close()
