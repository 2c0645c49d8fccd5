import hashlib
import os
import pty
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.accounts import names
from stream.accounts.hashing import AT_ONCE, IN_LINE, Hasher
from stream.accounts.names import new_name, new_password, normal, user_name
from stream.accounts.store import IDLE, LONGEST, MOST, STEP, Accounts
from stream.accounts.tries import BY_ADDRESS, BY_NAME, Buckets, Pace, Tries
from stream.accounts.values import Session, TooManyTries, User, WrongPassword
from stream.cli import main
from stream.errors import ConfigError, OutputError
from stream.history.store import History
from stream.history.tables import SESSIONS, USERS
from stream.history.values import Query
from stream.relay.access import Role

pytest_plugins = ("tests.mariadb_server",)
ROOT = Path(__file__).parent.parent
GOOD, OTHER = "correct horse battery", "quite another password"
NOW = 1_700_000_000.0
CHEAP = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}  # a test of ours, not of Argon2


def cheap(**changes) -> Hasher:
    return Hasher(argon2.PasswordHasher(**{**CHEAP, **changes}))


def plenty() -> Tries:
    return Tries(Pace(1000, 1.0), Pace(1000, 1.0))


@pytest.fixture(params=("sqlite", "mariadb"))
def url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "history.db")
    return request.getfixturevalue("mariadb").fresh()


@pytest.fixture
def accounts(url):
    kept = Accounts(url, cheap(), plenty())
    kept.add("anna", GOOD, Role.ADMIN)
    yield kept
    kept.close()


def enter(accounts: Accounts, name="anna", password=GOOD, now=NOW, address="192.0.2.1") -> str:
    return accounts.login(name, password, now, address)


# Users and sessions, on every database.


def test_who_logs_in_has_a_session_until_logging_out(accounts):
    token, other = enter(accounts), enter(accounts)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token != other
    user = accounts.session(token, NOW + 1)
    assert (user.name, user.role) == ("anna", Role.ADMIN)
    assert accounts.users() == [user]
    accounts.logout(token)
    accounts.logout(token)
    assert accounts.session(token, NOW + 1) is None
    assert accounts.session(other, NOW + 1) == user


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("anna", OTHER),
        ("anna", ""),
        ("anna", GOOD + " "),
        ("anna", GOOD.upper()),
        ("ben", GOOD),
        ("", GOOD),
        ("' OR 1=1 --", GOOD),
        ("anna\0", GOOD),
        ("a" * 100_000, GOOD),
        ("anna", "x" * 1025),
        ("anna", "\ud800"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_alike(accounts, name, password):
    with pytest.raises(WrongPassword, match=r"^wrong name or password$"):
        enter(accounts, name, password)


def test_names_are_the_same_in_either_case_and_passwords_from_any_keyboard(accounts):
    assert enter(accounts, "ANNA")
    accounts.add("Ben", "Amélie café noir", Role.WATCH)
    assert enter(accounts, "ben", "Ame\u0301lie cafe\u0301 noir")
    with pytest.raises(ConfigError, match="there is a user 'ben' already"):
        accounts.add("BEN", GOOD, Role.WATCH)
    assert [(user.name, user.role) for user in accounts.users()] == [
        ("anna", Role.ADMIN),
        ("ben", Role.WATCH),
    ]


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 100_000])
def test_a_token_of_nobody_is_no_session(accounts, token):
    assert accounts.session(token, NOW) is None
    accounts.logout(token)


def test_an_unused_session_ends_and_a_used_one_lasts_a_week(accounts):
    idle, used = enter(accounts), enter(accounts)
    assert accounts.session(idle, NOW + IDLE - 1) is not None
    begin = NOW
    idle = enter(accounts)
    assert accounts.session(idle, NOW + IDLE) is None
    while begin < NOW + LONGEST - IDLE:
        begin += IDLE / 2
        assert accounts.session(used, begin) is not None
    assert accounts.session(used, NOW + LONGEST - 1) is not None
    assert accounts.session(used, NOW + LONGEST) is None


def test_another_password_and_a_removal_end_sessions(accounts):
    accounts.add("ben", GOOD, Role.WATCH)
    token, bens = enter(accounts), enter(accounts, "ben")
    accounts.set_password("anna", OTHER)
    assert accounts.session(token, NOW) is None
    with pytest.raises(WrongPassword):
        enter(accounts)
    token = enter(accounts, password=OTHER)
    assert accounts.session(bens, NOW) is not None
    accounts.remove("Ben")
    assert accounts.session(bens, NOW) is None
    assert accounts.session(token, NOW) is not None
    with pytest.raises(WrongPassword):
        enter(accounts, "ben")
    for act in (accounts.remove, accounts.logout_all, lambda name: accounts.set_password(name, GOOD)):
        with pytest.raises(ConfigError, match="no user of that name"):
            act("ben")


def test_all_sessions_of_a_user_end_at_once(accounts):
    tokens = [enter(accounts) for _ in range(3)]
    assert accounts.logout_all("anna") == 3
    assert [accounts.session(token, NOW) for token in tokens] == [None] * 3


def test_sessions_are_bounded_and_those_that_ended_are_swept(accounts):
    tokens = [enter(accounts, now=NOW + number) for number in range(MOST + 5)]
    alive = [accounts.session(token, NOW + 100) is not None for token in tokens]
    assert alive == [False] * 5 + [True] * MOST
    listed = accounts.sessions("anna", NOW + 100)
    assert len(listed) == MOST
    assert listed[0] == Session(
        hashlib.sha256(tokens[-1].encode()).hexdigest(),
        accounts.users()[0],
        NOW + MOST + 4,
        NOW + MOST + 4 + IDLE,
    )
    accounts.add("ben", GOOD, Role.WATCH)
    enter(accounts, "ben", now=NOW + 2 * LONGEST)
    with accounts._database.reading() as connection:
        assert len(connection.execute(SESSIONS.select()).all()) == 1


def test_the_database_holds_neither_passwords_nor_tokens(accounts):
    token = enter(accounts)
    with accounts._database.reading() as connection:
        held = repr(connection.execute(USERS.select()).all() + connection.execute(SESSIONS.select()).all())
    assert "$argon2id$" in held
    assert GOOD not in held
    assert token not in held
    assert hashlib.sha256(token.encode()).hexdigest() in held


def test_a_hash_with_old_parameters_is_renewed_by_a_log_in(accounts, url):
    def held() -> str:
        with accounts._database.reading() as connection:
            return connection.execute(USERS.select()).one().password

    assert "m=8,t=1,p=1" in held()
    newer = Accounts(url, cheap(time_cost=2), plenty())
    with pytest.raises(WrongPassword):
        enter(newer, password=OTHER)
    assert "m=8,t=1,p=1" in held()
    token = enter(newer)
    assert "m=8,t=2,p=1" in held()
    renewed = held()
    assert enter(newer)
    assert held() == renewed
    assert newer.session(token, NOW) is not None
    newer.close()


def test_a_password_that_is_changed_during_the_log_in_gives_no_session(accounts, monkeypatch):
    fits = accounts._hasher.fits

    def slowly(known, password):
        answer = fits(known, password)
        accounts.set_password("anna", OTHER)
        return answer

    monkeypatch.setattr(accounts._hasher, "fits", slowly)
    with pytest.raises(WrongPassword):
        enter(accounts)
    with accounts._database.reading() as connection:
        assert connection.execute(SESSIONS.select()).all() == []


def test_many_may_log_in_at_once(accounts):
    tokens, problems = [], []

    def work(number: int) -> None:
        try:
            for each in range(5):
                token = enter(accounts, now=NOW + each, address=f"192.0.2.{number}")
                accounts.session(token, NOW + 10 + each)
                tokens.append(token)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(set(tokens)) == 40
    assert len(accounts.sessions("anna", NOW + 20)) == MOST


def test_history_and_accounts_share_a_database(accounts, url):
    history = History(url)
    assert history.search(Query()).entries == ()
    history.close()


def test_accounts_show_no_secret(accounts):
    assert "s3cret" not in repr(accounts)
    assert isinstance(accounts.users()[0], User)


# Names and passwords.


@pytest.mark.parametrize("name", ["", "a" * 65, ".a", "a b", "ä", "a/b", "a\n", "-rf", "<b>"])
def test_names_that_cannot_be(name):
    assert user_name(name) is None
    with pytest.raises(ConfigError, match="a user's name has"):
        new_name(name)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("x" * 11, "12 characters at least"),
        ("é" * 11, "12 characters at least"),
        ("e\u0301" * 11, "12 characters at least"),  # eleven once composed
        ("", "12 characters at least"),
        ("x" * 1025, "1024 bytes at most"),
        ("é" * 513, "1024 bytes at most"),
        ("\udcff" * 12, "whole characters"),
    ],
)  # fmt: skip
def test_passwords_that_cannot_be(password, why):
    with pytest.raises(ConfigError, match=why) as caught:
        new_password(password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["x" * 12, "é" * 512, " " * 12, "aaaaaaaaaaaa", "1" * 1024, "🔑" * 12])
def test_passwords_need_nothing_but_length(password):
    assert new_password(password) == password.encode()


@given(st.text(max_size=1100))
def test_what_may_be_a_password_is_hashed_alike_at_each_log_in(password):
    try:
        data = new_password(password)
    except ConfigError:
        return
    assert normal(password) == data
    assert 12 <= len(data) <= 1024


# Hashing.


def test_new_hashes_are_argon2id_with_rfc_9106s_parameters():
    assert Hasher().hash(b"x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_an_unknown_user_costs_what_a_known_one_costs():
    hasher = Hasher()
    known = hasher.hash(GOOD.encode())

    def cost(hashed: str | None) -> float:
        times = []
        for _ in range(7):
            begin = time.perf_counter()
            assert not hasher.fits(hashed, b"wrong")
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    assert 0.5 < cost(None) / cost(known) < 2.0


def test_log_in_asks_for_a_hash_whether_there_is_a_user_or_not(tmp_path):
    asked: list[str] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash, password):
            asked.append(hash)
            return super().verify(hash, password)

    accounts = Accounts(str(tmp_path / "h.db"), Hasher(Counting(**CHEAP)), plenty())
    accounts.add("anna", GOOD, Role.WATCH)
    for name in ("anna", "nobody", "<no name>", ""):
        with pytest.raises(WrongPassword):
            enter(accounts, name, OTHER)
    assert len(asked) == 4
    assert len({hashed.rpartition("$")[0].rpartition("$")[0] for hashed in asked}) == 1  # the same parameters
    accounts.close()


def test_a_harmed_hash_lets_nobody_in():
    assert not cheap().fits("no hash", GOOD.encode())
    assert not cheap().fits("", GOOD.encode())


def test_computations_at_once_are_bounded(monkeypatch):
    hasher, busy, most = cheap(), 0, 0
    go, lock = threading.Event(), threading.Lock()

    class Slow:
        def verify(self, hashed, password):
            nonlocal busy, most
            with lock:
                busy += 1
                most = max(most, busy)
            go.wait(20)
            with lock:
                busy -= 1
            return True

    hasher._hasher = Slow()
    threads = [threading.Thread(target=hasher.fits, args=("x", b"x")) for _ in range(AT_ONCE + IN_LINE)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while hasher._line._value and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(TooManyTries) as caught:
        hasher.fits("x", b"x")
    assert caught.value.retry_after > 0
    go.set()
    for thread in threads:
        thread.join()
    assert most == AT_ONCE
    assert hasher.fits("x", b"x")  # there is room again


# How often.


def test_guessing_is_slowed_down_by_address_and_by_name(tmp_path):
    accounts = Accounts(str(tmp_path / "h.db"), cheap())
    accounts.add("anna", GOOD, Role.WATCH)
    for number in range(BY_ADDRESS.burst):
        with pytest.raises(WrongPassword):
            enter(accounts, f"user{number}", OTHER)
    with pytest.raises(TooManyTries) as caught:
        enter(accounts)  # right, but from the same address
    assert 0 < caught.value.retry_after <= BY_ADDRESS.seconds
    assert enter(accounts, address="192.0.2.2")
    for number in range(BY_NAME.burst):
        with pytest.raises(WrongPassword):
            enter(accounts, "anna", OTHER, address=f"198.51.100.{number}")
    with pytest.raises(TooManyTries):
        enter(accounts, address="192.0.2.3")
    assert enter(accounts, address="192.0.2.2")  # where she logged in before
    accounts.close()


def test_addresses_of_one_ipv6_network_count_as_one(tmp_path):
    accounts = Accounts(str(tmp_path / "h.db"), cheap())
    for number in range(BY_ADDRESS.burst):
        with pytest.raises(WrongPassword):
            enter(accounts, f"user{number}", OTHER, address=f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries):
        enter(accounts, address="2001:db8::ffff")
    accounts.close()


def test_a_right_password_costs_no_try(tmp_path):
    accounts = Accounts(str(tmp_path / "h.db"), cheap())
    accounts.add("anna", GOOD, Role.WATCH)
    for _ in range(BY_NAME.burst + 5):
        assert enter(accounts)
    accounts.close()


def test_who_finds_all_places_taken_loses_no_try(tmp_path, monkeypatch):
    accounts = Accounts(str(tmp_path / "h.db"), cheap())

    def full(known, password):
        raise TooManyTries(1.0)

    with monkeypatch.context() as patch:
        patch.setattr(accounts._hasher, "fits", full)
        for _ in range(BY_ADDRESS.burst + 5):
            with pytest.raises(TooManyTries):
                enter(accounts)
    with pytest.raises(WrongPassword):
        enter(accounts)
    accounts.close()


@given(
    st.integers(1, 20),
    st.floats(0.1, 100.0),
    st.lists(st.tuples(st.floats(0.0, 50.0), st.sampled_from("abc")), max_size=200),
)
def test_nobody_gets_more_than_the_pace(burst, seconds, events):
    buckets, now = Buckets(Pace(burst, seconds)), 0.0
    taken: dict[str, list[float]] = {}
    for gap, key in events:
        now += gap
        wait = buckets.wait(key, now)
        assert 0.0 <= wait <= seconds * (1 + 1e-9)
        if wait == 0.0:
            buckets.take(key, now)
            taken.setdefault(key, []).append(now)
        else:
            assert buckets.wait(key, now + wait * 1.000001 + 1e-9) == pytest.approx(0.0, abs=1e-6)
    for times in taken.values():
        for i, begin in enumerate(times):
            for j in range(i, len(times)):
                assert j - i + 1 <= burst + (times[j] - begin) / seconds + 1e-6


@given(st.lists(st.text(max_size=5), max_size=300), st.integers(1, 20))
def test_memory_is_bounded_and_the_busiest_are_remembered(keys, most):
    buckets = Buckets(Pace(3, 10.0), most)
    for number, key in enumerate(keys):
        buckets.take(key, number * 1e-6)
        assert len(buckets) <= most
    if keys:
        for _ in range(3):
            buckets.take(keys[-1], 1.0)
        assert buckets.wait(keys[-1], 1.0) > 0


@given(st.lists(st.sampled_from(["take", "give"]), max_size=50))
def test_what_is_given_back_never_gives_more_than_the_burst(acts):
    tries, spent = Tries(Pace(5, 1e9), Pace(5, 1e9)), 0
    for act in acts:
        if act == "give":
            tries.give_back("a", "n", 0.0)
            spent = max(spent - 1, 0)
        else:
            waits = tries.take("a", "n", 0.0)
            assert bool(waits) == (spent >= 5)
            spent = min(spent + 1, 5)


def test_one_full_kind_costs_the_other_nothing():
    tries = Tries(Pace(1, 10.0), Pace(5, 10.0))
    assert tries.take("a", "n", 0.0) == 0.0
    for _ in range(20):
        assert tries.take("a", "n", 0.0) == 10.0
    for number in range(4):
        assert tries.take(f"b{number}", "n", 0.0) == 0.0
    assert tries.take("c", "n", 0.0) == 10.0


def test_a_database_that_is_away_costs_no_try(tmp_path, monkeypatch):
    accounts = Accounts(str(tmp_path / "h.db"), cheap())

    def away(*_):
        raise OutputError("away")

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "_entered", away)
        for _ in range(BY_ADDRESS.burst + 5):
            with pytest.raises(OutputError):
                enter(accounts)
    with pytest.raises(WrongPassword):
        enter(accounts)
    accounts.close()


def test_the_bounds_of_the_manual_are_those_of_the_program():
    manual = (ROOT / "docs" / "history.md").read_text("utf-8")
    for told, held in (
        ("12 hours after its last use", IDLE == 12 * 3600),
        ("five minutes", STEP == 300),
        ("7 days after the log-in", LONGEST == 7 * 86400),
        ("a user has 20 at most", MOST == 20),
        ("Ten wrong tries of an address", BY_ADDRESS.burst == 10),
        ("one every 15 s", BY_ADDRESS.seconds == 15),
        ("twenty with a", BY_NAME.burst == 20),
        ("one every 30 s", BY_NAME.seconds == 30),
        ("three wait", IN_LINE == 3),
        ("One hash is computed at a time", AT_ONCE == 1),
        ("12 characters to 1024 bytes", (names.SHORTEST, names.LONGEST) == (12, 1024)),
    ):
        assert told in manual
        assert held, told


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("mn"), st.floats(0, 5)), max_size=100))
def test_strangers_do_not_keep_a_user_out_where_that_user_has_been(events):
    tries, now = Tries(Pace(100, 1.0), Pace(2, 1e9)), 0.0
    tries.welcome("home", "n")
    for address, name, gap in events:
        now += gap
        tries.take(address, name, now)
    assert tries.take("home", "n", now) == 0.0
    tries.give_back("home", "n", now)
    if sum(name == "n" for _, name, _ in events) >= 2:
        assert tries.take("elsewhere", "n", now) > 0


def test_a_known_address_may_not_guess_for_ever_and_is_forgotten_in_the_end():
    tries = Tries(Pace(3, 10.0), Pace(2, 1e9), most=2)
    tries.welcome("a", "n")
    assert [tries.take("a", "n", 0.0) > 0 for _ in range(4)] == [False, False, False, True]
    assert tries.take("a", "n", 0.0) == 10.0
    for number in range(2):
        tries.take("x", "n", 0.0)
        tries.welcome("y", f"{number}")
    assert tries.take("a", "n", 10.0) > 0  # by name now


# The command.


def run(*words: object) -> int:
    return main(["users", *map(str, words)])


def test_the_command(tmp_path, capsys):
    db, file = tmp_path / "h.db", tmp_path / "password"
    file.write_text(GOOD + "\n")
    assert run("add", "Anna", "--role", "admin", "--db", db, "--password-file", file) == 0
    assert run("add", "ben", "--role", "watch", "--db", db, "--password-file", file) == 0
    accounts = Accounts(str(db))
    token = enter(accounts, now=time.time())
    capsys.readouterr()
    assert run("list", "--db", db) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[1], row[4]) for row in rows] == [("anna", "admin", "1"), ("ben", "watch", "0")]
    file.write_text(OTHER)
    assert run("password", "anna", "--db", db, "--password-file", file) == 0
    assert accounts.session(token, time.time()) is None
    assert enter(accounts, password=OTHER, now=time.time())
    assert run("logout", "anna", "--db", db) == 0
    assert run("remove", "ben", "--db", db) == 0
    assert [user.name for user in accounts.users()] == ["anna"]
    accounts.close()


@pytest.mark.parametrize(
    ("words", "text", "why"),
    [
        (["add", "a b", "--role", "watch"], GOOD, "a user's name has"),
        (["add", "ben", "--role", "watch"], "short", "12 characters at least"),
        (["add", "ben", "--role", "watch"], GOOD + "\n" + OTHER, "more than one line"),
        (["add", "ben", "--role", "watch"], "x" * 5000, "1024 bytes at most"),
        (["password", "nobody"], GOOD, "no user of that name"),
    ],
)
def test_the_command_tells_mistakes_in_one_line(tmp_path, capsys, words, text, why):
    (tmp_path / "password").write_text(text)
    assert run(*words, "--db", tmp_path / "h.db", "--password-file", tmp_path / "password") == 2
    told = capsys.readouterr().err
    assert why in told
    assert text not in told
    assert told.count("\n") == 1


def test_without_a_terminal_a_file_is_needed(tmp_path, capsys):
    assert run("add", "ben", "--role", "watch", "--db", tmp_path / "h.db") == 2
    assert "--password-file" in capsys.readouterr().err
    gone = tmp_path / "gone"
    assert run("add", "ben", "--role", "watch", "--db", tmp_path / "h.db", "--password-file", gone) == 2
    assert "No such file" in capsys.readouterr().err


def at_terminal(db: Path, *typed: str) -> tuple[int, str]:
    """The command at a terminal of its own, which types one line for each question."""
    command = [sys.executable, "-m", "stream.cli", "users", "add", "anna", "--role", "watch", "--db", str(db)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, command)
    shown = b""
    for number, line in enumerate(typed):
        while shown.count(b": ") <= number:
            shown += os.read(terminal, 1000)
        time.sleep(0.1)  # the echo is off only now
        os.write(terminal, line.encode() + b"\n")
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")
def test_a_password_is_asked_for_twice_and_never_shown(tmp_path):
    code, shown = at_terminal(tmp_path / "h.db", GOOD, GOOD)
    assert (code, GOOD in shown) == (0, False), shown
    accounts = Accounts(str(tmp_path / "h.db"))
    assert enter(accounts)
    accounts.close()
    code, shown = at_terminal(tmp_path / "other.db", GOOD, OTHER)
    assert (code, "these were two passwords" in shown) == (2, True), shown


@pytest.mark.parametrize("missing", ["argon2", "sqlalchemy"])
def test_without_the_packages_one_line_says_how_to_get_them(missing, tmp_path):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\nfrom stream.cli import main\n"
        "sys.exit(main(['users', 'list', '--db', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "h.db")], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs more packages: pip install 'facewitness[server]'" in done.stderr
    assert done.stderr.count("\n") == 1
