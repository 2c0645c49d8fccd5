"""Roles and tokens: who may, who may not, and that no token is ever shown."""

import logging

import pytest

from stream.errors import ConfigError
from stream.redact import RedactingFilter, redact
from stream.relay.access import MOST, Access, Role, read_tokens

PUBLISH, WATCH, ADMIN = "publisher-0123456789", "watcher-0123456789", "administrator-0123456789"


def access() -> Access:
    return Access(
        {Role.PUBLISH: PUBLISH, Role.WATCH: [WATCH, "second-watcher-0123"], Role.ADMIN: ADMIN}, False
    )


@pytest.mark.parametrize(
    ("role", "token", "may"),
    [
        (Role.PUBLISH, PUBLISH, True),
        (Role.PUBLISH, WATCH, False),
        (Role.PUBLISH, ADMIN, True),
        (Role.WATCH, WATCH, True),
        (Role.WATCH, "second-watcher-0123", True),
        (Role.WATCH, PUBLISH, False),
        (Role.WATCH, ADMIN, True),
        (Role.ADMIN, ADMIN, True),
        (Role.ADMIN, PUBLISH, False),
        (Role.ADMIN, WATCH, False),
        (Role.WATCH, WATCH[:-1], False),
        (Role.WATCH, WATCH + "x", False),
        (Role.WATCH, "", False),
    ],
)
def test_each_token_is_good_for_its_role_only_and_the_administrators_for_all(role, token, may):
    assert access().allows(role, f"Bearer {token}") is may


def test_the_scheme_is_bearer_in_any_case():
    assert access().allows(Role.WATCH, f"bEARER  {WATCH} ")
    assert not access().allows(Role.WATCH, f"Basic {WATCH}")
    assert not access().allows(Role.WATCH, WATCH)
    assert not access().allows(Role.WATCH, f"Bearer{WATCH}")


@pytest.mark.parametrize(
    "header",
    [None, "", " ", "Bearer", "Bearer ", "Bearer \x00", "Bearer ä€𝕏", "Bearer \udcff\ud800", "Bearer a b c",
     "Bearer " + "x" * 100_000, "\n\r\t", "Bearer \n"],
)  # fmt: skip
def test_junk_is_refused_and_never_raises(header):
    for role in Role:
        assert not access().allows(role, header)
        assert Access({}, True).allows(role, header)


def test_a_role_without_tokens_is_the_administrators():
    only = Access({Role.PUBLISH: None, Role.ADMIN: ADMIN}, False)
    assert only.allows(Role.PUBLISH, f"Bearer {ADMIN}")
    assert not only.allows(Role.PUBLISH, "Bearer ")
    assert not only.allows(Role.WATCH, None)
    assert not Access({}, False).allows(Role.ADMIN, "Bearer ")


def test_several_tokens_of_a_role_stand_one_a_line():
    several = Access({Role.WATCH: "first-token-0123456\nsecond-token-012345\n"}, False)
    assert several.allows(Role.WATCH, "Bearer first-token-0123456")
    assert several.allows(Role.WATCH, "Bearer second-token-012345")
    assert not several.allows(Role.WATCH, "Bearer first-token-0123456\nsecond-token-012345")


def test_tokens_never_stand_in_logs(caplog):
    Access({Role.ADMIN: "very-secret-token-77"}, False)
    handler = caplog.handler
    handler.addFilter(RedactingFilter())
    logging.getLogger("stream").error("GET /api?x=very-secret-token-77 %s", "very-secret-token-77")
    assert "very-secret" not in caplog.text
    assert "very-secret" not in redact("very-secret-token-77")


def test_a_token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("# for the cameras\nfirst-token-0123456\n\n  second.token_~+/012==  \n")
    assert read_tokens(path) == ("first-token-0123456", "second.token_~+/012==")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no token"),
        (b"# nothing\n\n", "no token"),
        (b"secret-but-short", None),
        (b"short-one\n", "line 1: 16 to 512"),
        (b"good-token-01234567\nhas spaces in it and is long\n", "line 2: only letters"),
        ("tökentökentökentöken".encode(), "only letters"),
        (b"\xff\xfe" * 20, "not a text"),
        (b"good-token-01234567\n" * (MOST + 1), "64 at most"),
    ],
)
def test_a_token_file_that_cannot_be(tmp_path, content, says):
    path = tmp_path / "tokens"
    path.write_bytes(content)
    if says is None:
        assert read_tokens(path)
        return
    with pytest.raises(ConfigError, match=says) as caught:
        read_tokens(path)
    assert not any(word in str(caught.value) for word in ("short-one", "spaces", "good-token"))


def test_a_token_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_tokens(tmp_path / "missing")
