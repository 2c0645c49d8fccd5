"""A real MariaDB server for the tests, in a folder of its own, on loopback."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

PASSWORD = "s3cret/w@rd:1"  # must not show in any output


def missing() -> str:
    """Why there can be no server here; "" where there can."""
    lacking = [name for name in ("mariadbd", "mariadb-install-db") if _found(name) is None]
    return f"no {' and no '.join(lacking)} (Debian: mariadb-server)" if lacking else ""


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class MariaDb:
    """One server; `fresh()` gives the URL of an empty database on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = [f"--user={getpass.getuser()}"] if os.getuid() == 0 else []  # it asks root to say so
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._made = 0
        self.password = PASSWORD
        self._process: subprocess.Popen[bytes] | None = None
        install = [_found("mariadb-install-db"), "--no-defaults", f"--datadir={folder / 'data'}", *self._user]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(install, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()
        self.run(f"CREATE USER 'witness'@'%' IDENTIFIED BY '{PASSWORD}'")
        self.run("GRANT ALL ON *.* TO 'witness'@'%'")

    def start(self) -> None:
        """Returns when it takes connections."""
        flags = [
            f"--datadir={self._folder / 'data'}",
            f"--socket={self._folder / 's'}",
            f"--port={self.port}",
        ]
        flags += ["--bind-address=127.0.0.1", f"--pid-file={self._folder / 'pid'}", "--skip-name-resolve"]
        flags += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2"]
        with (self._folder / "log").open("ab") as log:
            command = [_found("mariadbd") or "", "--no-defaults", *flags, *self._user]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(300):
            assert self._process.poll() is None, (self._folder / "log").read_text("utf-8", "replace")[-2000:]
            try:
                self.run("SELECT 1")
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("mariadbd does not answer within 30 s")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, politely or not."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def fresh(self, user: str = "witness", password: str = PASSWORD) -> str:
        """The URL of an empty database."""
        self._made += 1
        self.run(f"CREATE DATABASE t{self._made}")
        return f"mysql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/t{self._made}"

    def run(self, statement: str, database: str | None = None) -> list[tuple]:
        """One statement as the server's root. Raises OSError where nobody answers."""
        import pymysql

        try:
            link = pymysql.connect(unix_socket=str(self._folder / "s"), user="root", database=database)
        except pymysql.err.OperationalError as error:
            raise OSError(str(error)) from error
        with link, link.cursor() as cursor:
            cursor.execute(statement)
            rows = list(cursor.fetchall())
            link.commit()
            return rows


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One server for all tests of a run."""
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="mariadb"))  # short: a socket's path has a hundred characters
    server = None
    try:
        server = MariaDb(folder)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
