"""Everything that can go wrong for a user, each with one clear line and an exit code of its own.

FacewitnessError
├── ConfigError (2)            a flag or a key of the TOML file
├── SourceError
│   ├── FileMissing (10), IsDirectory (11), EmptyFile (12), NotVideo (13), Truncated (14), NoVideoStream (15)
│   ├── NoFaces (16), TooSmall (17), UnknownScheme (18)
│   ├── Unreachable (19), Unauthorized (20), NotFound (21), Frozen (22), Ended (23), NoDevice (24)
│   ├── TooLarge (25), TooSlow (26), Crashed (27)
├── ModelError (30)            weights missing, damaged or without a card
├── ProviderError (31)         the provider asked for is not the provider got
├── NoDisplay (32)
└── OutputError (33)           a recording, a push, an alert file or a database that cannot be opened
"""


class FacewitnessError(Exception):
    """Base class. `str(error)` is the one line that the user reads; it never holds a credential."""

    exit_code = 1


class ConfigError(FacewitnessError):
    """A flag or a key of the configuration that cannot be."""

    exit_code = 2


class SourceError(FacewitnessError):
    """The source cannot be read. `permanent` tells whether another try could help."""

    permanent = True


class FileMissing(SourceError):
    """No such file."""

    exit_code = 10


class IsDirectory(SourceError):
    """A directory where a file should be."""

    exit_code = 11


class EmptyFile(SourceError):
    """A file of zero bytes."""

    exit_code = 12


class NotVideo(SourceError):
    """Data that no demuxer or decoder understands."""

    exit_code = 13


class Truncated(SourceError):
    """A file that ends before it should; what could be read has been scored."""

    exit_code = 14


class NoVideoStream(SourceError):
    """A container without a video stream."""

    exit_code = 15


class NoFaces(SourceError):
    """A file in which no face was found from beginning to end."""

    exit_code = 16


class TooSmall(SourceError):
    """Pictures too small to hold a face that could be scored."""

    exit_code = 17


class UnknownScheme(SourceError):
    """A URL whose scheme no source module claims."""

    exit_code = 18


class Unreachable(SourceError):
    """Nobody answers at this address (refused, no route, no such host)."""

    exit_code = 19
    permanent = False


class Unauthorized(SourceError):
    """The server wants other credentials. Permanent until a first connection has worked."""

    exit_code = 20


class NotFound(SourceError):
    """The server answers but has no such stream; it may come later."""

    exit_code = 21
    permanent = False


class Frozen(SourceError):
    """No picture for longer than the watchdog allows."""

    exit_code = 22
    permanent = False


class Ended(SourceError):
    """A live stream that ended: for a live source that is a disconnect."""

    exit_code = 23
    permanent = False


class NoDevice(SourceError):
    """No such camera or screen, or it is busy."""

    exit_code = 24
    permanent = False


class TooLarge(SourceError):
    """A file that needs more bytes, pixels or memory than it may have."""

    exit_code = 25


class TooSlow(SourceError):
    """A file whose check took longer than it may."""

    exit_code = 26


class Crashed(SourceError):
    """The process that decoded a file died of it."""

    exit_code = 27


class ModelError(FacewitnessError):
    """Weights missing, damaged or without a card. The program refuses to score."""

    exit_code = 30


class ProviderError(FacewitnessError):
    """The provider asked for is not the provider got."""

    exit_code = 31


class NoDisplay(FacewitnessError):
    """A window was asked for and there is no display."""

    exit_code = 32


class OutputError(FacewitnessError):
    """A recording, a push, an alert file or a database cannot be opened or written."""

    exit_code = 33


class Refused(OutputError):
    """The database works, but does not take this value, and would not take it later."""
