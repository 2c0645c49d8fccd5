"""What stands behind the page beside the streams: checks, history, accounts. Opened once, closed with it."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream.check.order import CheckOptions
from stream.panel.jobs import GENTLE, LIMITS, Job, Jobs
from stream.providers import choose

if TYPE_CHECKING:
    from stream.accounts.store import Accounts
    from stream.history.recorder import Recorder
    from stream.history.store import History

FLUSH = 5.0  # s that entries still get to reach the database at the end


@dataclass(frozen=True, slots=True)
class Panel:
    """Each part may be missing."""

    jobs: Jobs | None = None
    history: "History | None" = None
    accounts: "Accounts | None" = None
    recorder: "Recorder | None" = None

    @staticmethod
    def open(
        model: str, provider: str, threads: int, *, check: bool, history: str | None, login: bool
    ) -> "Panel":
        """history: the database's URL, "" for the user's own one, None for none; a log-in needs one in any
        case.

        Raises ConfigError, OutputError, ProviderError.
        """
        options = CheckOptions(model, choose(provider), threads, LIMITS, nice=GENTLE)
        kept, recorder, accounts = None, None, None
        if history is not None or login:
            from stream.history.address import default_database  # on use: the packages are an extra

            url = history or default_database()
            if history is not None:
                from stream.history.recorder import Recorder
                from stream.history.store import History

                kept = History(url)
                recorder = Recorder(kept)
            if login:
                from stream.accounts.store import Accounts

                accounts = Accounts(url)

        def done(job: Job) -> None:
            if recorder is not None and job.checked is not None:
                recorder.put_check(job.checked.report, job.by, time.time())

        return Panel(Jobs(options, done) if check else None, kept, accounts, recorder)

    def close(self) -> None:
        """End what runs, write what waits, within seconds."""
        if self.jobs is not None:
            self.jobs.close()
        if self.recorder is not None:
            self.recorder.close(FLUSH)
        for database in (self.history, self.accounts):
            if database is not None:
                database.close()
