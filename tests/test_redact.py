"""No credential survives in a log line, however it is written."""

import io
import json
import logging
import string
import threading
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream import redact as module
from stream.redact import MOST, RedactingFilter, Secrets, redact
from stream.sources import display_name

TEXT = "open {} failed: 401"
word = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=3, max_size=24)
schemes = st.sampled_from(["rtsp", "rtmp", "http", "https", "srt", "rtsps", "whep+http", "whep+https"])


@pytest.fixture(autouse=True)
def _fresh_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECRETS", Secrets())


def plain(text: str) -> bool:
    """Whether `text` could stand in the rest of a line by itself."""
    return text in TEXT.format("rtsp://***@camera.example:554/live?x=1 rtmp http https srt rtsps")


@given(schemes, word, word)
def test_user_and_password_of_any_url(scheme: str, user: str, password: str) -> None:
    assume(not plain(user) and not plain(password))
    coded = [quote(user, safe=""), quote(password, safe="")]
    assume(not any(map(plain, coded)))
    url = f"{scheme}://{coded[0]}:{coded[1]}@camera.example:554/live?x=1"
    line = redact(TEXT.format(url))
    for secret in (user, password, *coded):
        assert secret not in line
    assert "camera.example:554/live?x=1" in line


@given(schemes, word, word)
def test_registered_secrets_are_hidden_wherever_they_turn_up(scheme: str, user: str, password: str) -> None:
    user, password = user.strip(), password.strip()
    assume(len(user) >= 3 and len(password) >= 3)
    secrets = Secrets()
    coded = [quote(user, safe=""), quote(password, safe="")]
    secrets.register(f"{scheme}://{coded[0]}:{coded[1]}@camera.example/live")
    spellings = {user, password, *coded, quote(password), quote_plus(password), json.dumps(password)[1:-1]}
    spellings |= {repr(password)[1:-1], quote(user).lower() if "%" in quote(user) else user}
    for each in spellings:
        assume("*" not in each)
        # Around it stands what no secret can be part of: only the whole is looked for.
        assert each not in secrets.hide(f"\x00{each}\x00")
    import base64

    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert token not in secrets.hide(f"Authorization: Basic {token}")


@pytest.mark.parametrize(
    "key", ["password", "token", "key", "sig", "streamid", "passphrase", "X-Amz-Signature"]
)
@given(value=st.text(string.ascii_letters + string.digits + "%._~-+", min_size=3, max_size=20))
def test_secret_query_values(key: str, value: str) -> None:
    assume(value not in TEXT and value not in f"{key}=https://host/live.m3u8?a=1&other=2")
    line = redact(TEXT.format(f"https://host/live.m3u8?a=1&{key}={value}&other=2"))
    assert value not in line
    assert f"{key}=***" in line
    assert "a=1" in line
    assert "other=2" in line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:pa/ss@cam/1", "rtsp://***@cam/1"),  # an unquoted slash
        ("rtsp://admin:p@ss@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin@cam/1", "rtsp://***@cam/1"),
        ("rtsp://cam:554/a@b", "rtsp://cam:554/a@b"),  # an @ in the path is no credential
        ("rtsp://[fe80::1]:554/a", "rtsp://[fe80::1]:554/a"),
        ("rtsp://u:p@[fe80::1]:554/a", "rtsp://***@[fe80::1]:554/a"),
        (
            "srt://host:9000?streamid=publish:me:secret&mode=caller",
            "srt://host:9000?streamid=***&mode=caller",
        ),
        ("https://host/x?access_token=abc", "https://host/x?access_token=***"),
        ("https://host/x?monkey=1&design=2", "https://host/x?monkey=1&design=2"),
        ("clip.mp4", "clip.mp4"),
        ("0", "0"),
    ],
)
def test_names_shown(url: str, shown: str) -> None:
    assert display_name(url) == shown


def test_short_secrets_are_hidden_in_urls_only() -> None:
    module.SECRETS.register("rtsp://a:b@cam/1")
    assert redact("a bad cab at rtsp://a:b@cam/1") == "a bad cab at rtsp://***@cam/1"


def test_longer_secret_first() -> None:
    secrets = Secrets()
    secrets.register_value("secret")
    secrets.register_value("secret-and-more")
    assert secrets.hide("x secret-and-more y secret") == "x *** y ***"


def test_the_memory_is_bounded() -> None:
    secrets = Secrets()
    for i in range(MOST // 3):  # each has three spellings: raw, %20, +
        secrets.register_value(f"secret number {i}")
    with pytest.raises(ValueError, match="more than"):
        secrets.register_value("one secret more")
    assert "secret number 1" not in secrets.hide("secret number 1")


def _logger(form: logging.Formatter) -> tuple[logging.Logger, io.StringIO, logging.Handler]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(form)
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, out, handler


def test_filter_hides_message_arguments_exception_stack_and_extras() -> None:
    url = "rtsp://admin:hunter2@cam/1"
    module.SECRETS.register(url)
    form = logging.Formatter("%(message)s %(url)s")
    logger, out, _ = _logger(form)
    try:
        raise OSError(f"cannot open {url}")
    except OSError:
        logger.exception(
            "opening %s as %r", url, {"password": "hunter2"}, stack_info=True, extra={"url": url}
        )
    text = out.getvalue()
    assert "hunter2" not in text
    assert "admin" not in text
    assert "OSError: cannot open rtsp://***@cam/1" in text
    assert "Traceback" in text
    assert "opening rtsp://***@cam/1" in text


def test_filter_survives_a_wrong_log_call() -> None:
    logger, out, _ = _logger(logging.Formatter("%(message)s"))
    logger.warning("two %s %s", "rtsp://u:pass@cam")
    assert "unusable arguments" in out.getvalue()
    assert "pass@" not in out.getvalue()


def test_registering_while_others_log() -> None:
    secrets = Secrets()
    stop = threading.Event()
    seen: list[str] = []

    def log() -> None:
        while not stop.is_set():
            seen.append(secrets.hide("word-0 word-49"))

    thread = threading.Thread(target=log)
    thread.start()
    for i in range(50):
        secrets.register_value(f"word-{i}")
    stop.set()
    thread.join()
    assert secrets.hide("word-0 word-49") == "*** ***"
