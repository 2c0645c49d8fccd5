"""The command line: `facewitness watch SOURCE…`, `check FILE…`, `relay`, `verify`, `users` and the rest."""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stream.config import OPTIONS, PROVIDERS, add_flags, add_options, number
from stream.errors import FacewitnessError
from stream.relay.access import Role
from stream.relay.settings import RELAY_OPTIONS, RelaySettings, relay_settings
from stream.values import State
from stream.watch import watch

_DATABASE = "file, or mysql://USER:PASSWORD@HOST/NAME (default: the user's own file)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0, or that of the error (see stream/errors.py)."""
    parser = _parser()
    flags = vars(parser.parse_args(arguments))
    command, config = flags.pop("command"), flags.pop("config", None)
    if command == "doctor":
        from stream.doctor import doctor

        return doctor(flags["provider"])
    if command == "models":
        from stream.listing import list_models

        return list_models()
    try:
        if command == "verify":
            from stream.evidence.command import verify

            return verify(**flags)
        if command == "check":
            from stream.check.command import check

            return check(**flags)
        if command == "history":
            from stream.history.command import history

            return history(**flags)
        if command == "users":
            from stream.accounts.command import users

            return users(**flags)
        if command == "enrol":
            from stream.identity.command import enrol

            return enrol(**flags)
        if command == "relay":
            from stream.relay.command import relay

            return relay(relay_settings(flags, config))
        return watch(flags, config)
    except FacewitnessError as error:
        print(f"facewitness: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before the pump took over the signals
        return 128 + signal.SIGINT


def _version() -> str:
    try:
        return version("facewitness")
    except PackageNotFoundError:
        return "not installed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facewitness",
        description="Watches live video and says, within about two seconds, when a face in it is not real.",
    )
    parser.add_argument("--version", action="version", version=f"facewitness {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    watching = commands.add_parser(
        "watch",
        help="watch cameras, streams or files",
        epilog="Try `facewitness watch demo`. Exit codes stand in the README.",
    )
    add_flags(watching)
    relaying = commands.add_parser(
        "relay",
        help="take live video in by WHIP, watch it, give it out by WHEP",
        epilog="Then open http://127.0.0.1:8080/ in a browser.",
    )
    add_options(relaying, RELAY_OPTIONS, RelaySettings)
    _add_check(commands.add_parser("check", help="check pictures and videos, a verdict for each file"))
    verifying = commands.add_parser("verify", help="check the evidence that `watch --evidence` kept")
    verifying.add_argument("folder", metavar="DIR", type=Path, help="the directory given to --evidence")
    verifying.add_argument(
        "--key", metavar="PUBLIC", help="public key (PEM) or fingerprint that must have signed"
    )
    verifying.add_argument(
        "--head", metavar="HASH", help="a head that was told earlier: it must be in the chain"
    )
    _add_history(
        commands.add_parser("history", help="list, export or forget checks and alerts that were kept")
    )
    _add_enrol(commands.add_parser("enrol", help="make a person known, for `--expect`"))
    _add_users(commands.add_parser("users", help="who may log in"))
    commands.add_parser("models", help="list the detectors that are installed, with their figures")
    doctor = commands.add_parser("doctor", help="say what this machine can do and what is missing")
    doctor.add_argument("--provider", choices=PROVIDERS, default="auto", help="the provider you mean to use")
    return parser


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="what the person is called")
    parser.add_argument(
        "pictures", nargs="*", metavar="PICTURE", help="with that one face; three or more are well"
    )
    parser.add_argument("--list", dest="list_people", action="store_true", help="who is enrolled")
    parser.add_argument("--delete", metavar="NAME", help="make a person unknown again")
    parser.add_argument("--file", metavar="FILE", help=OPTIONS["enrolled"].help)
    parser.add_argument(
        "--enrolment-key", metavar="FILE", help="encrypt the file; the key is made if it is not there"
    )
    parser.add_argument("--model", default="detector", metavar="NAME|FILE", help=OPTIONS["model"].help)
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help=OPTIONS["provider"].help)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 50 for an ALERT, 51 for a SUSPICIOUS, else as the README tells."
    parser.add_argument("files", nargs="+", metavar="FILE", help="pictures, videos, folders of them")
    parser.add_argument(
        "--json", dest="json_file", nargs="?", const="-", metavar="FILE", help="all that was found"
    )
    parser.add_argument(
        "--csv", dest="csv_file", nargs="?", const="-", metavar="FILE", help="a row for each file"
    )
    parser.add_argument("--report", metavar="OUT.html", help="one page with pictures, curves and facts")
    parser.add_argument(
        "--history", action="store_true", help="keep the checks; `facewitness history` lists them"
    )
    parser.add_argument("--db", metavar="URL", help=f"keep them there: {_DATABASE}")
    parser.add_argument("--seconds", type=number(1), metavar="S", help="of each video at most (default: 600)")
    parser.add_argument("--model", default="detector", metavar="NAME|FILE", help=OPTIONS["model"].help)
    parser.add_argument("--provider", choices=PROVIDERS, default="auto", help=OPTIONS["provider"].help)
    parser.add_argument("--threads", type=number(1, int), default=1, help=OPTIONS["threads"].help)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "WHEN is 2026-11-27, 2026-11-27T16:50 or 7d (ago; m, h, d, w)."
    parser.add_argument("--db", metavar="URL", help=_DATABASE)
    parser.add_argument("--since", metavar="WHEN", help="from then on")
    parser.add_argument("--until", metavar="WHEN", help="before then")
    parser.add_argument("--text", default="", metavar="TEXT", help="part of the file's or stream's name")
    parser.add_argument("--verdict", choices=[state.value for state in State], help="with this verdict only")
    parser.add_argument("--kind", choices=("check", "alert"), help="of this kind only")
    parser.add_argument("--by", metavar="USER", help="checks that this user asked for")
    parser.add_argument("--limit", type=number(1, int), metavar="N", help="the newest N (a list: 50)")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--json", dest="json_lines", action="store_true", help="a line of JSON an entry, with all facts"
    )
    ways.add_argument("--csv", dest="csv_rows", action="store_true", help="a row an entry")
    ways.add_argument("--forget", type=number(0), metavar="DAYS", help="delete what is older")


def _add_users(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, what in (
        ("add", "a new user; the password is asked for twice"),
        ("list", "users, their roles and how many sessions they have"),
        ("remove", "away with a user and the sessions"),
        ("password", "another password for a user, whose sessions end"),
        ("logout", "end all sessions of a user"),
    ):
        each = actions.add_parser(action, help=what, description=what)
        each.add_argument("--db", metavar="URL", help=_DATABASE)
        if action != "list":
            each.add_argument("name", metavar="NAME")
        if action == "add":
            each.add_argument(
                "--role", required=True, choices=[role.value for role in Role], help="admin may do everything"
            )
        if action in ("add", "password"):
            each.add_argument(
                "--password-file", dest="file", metavar="FILE", help="the password is its one line"
            )


if __name__ == "__main__":
    sys.exit(main())
