"""Who is trained on and who is only validated on; no person of a video stands on both sides."""

from pathlib import Path

# The c40 targets are five reciprocal pairs; both of a pair stand on one side. Actors are named by two digits.
VALIDATION_TARGETS = frozenset({"672", "720", "866", "878", "634", "660"})
VALIDATION_ACTORS = frozenset({"08", "13", "27"})
# GRID's clips that are held apart for calibration and thresholds. id2_vcd_swwp2s and pwij3p show one man and
# the signers' clips another: each of them on one side.
VALIDATION_REALS = frozenset({"bbaf2n", "lwbsza", "swiz3n"})
NEVER_TRAINED = ("deepfacelive", "dfdc")
KNOWN = (*NEVER_TRAINED, "faceforensics", "real_talking")  # the others are one's own: see models.own_videos
HELD = "held"  # follows the data set's name of one's own video that is held apart


def folder_of(name: str) -> str:
    """ "faceforensics__c40__real__183" -> "faceforensics"."""
    return name.split("__", 1)[0]


def is_fake(name: str) -> bool:
    """Whether a prepared video is labelled fake: its path had a folder called fake, and none called real."""
    return next((part for part in name.split("__")[1:] if part in ("real", "fake")), "real") == "fake"


def is_own(name: str) -> bool:
    """Whether a prepared video is of a data set that is not ours."""
    return folder_of(name) not in KNOWN


def is_training(name: str) -> bool:
    """Whether a prepared video may be trained on."""
    folder, stem = folder_of(name), name.split("__")
    if folder in NEVER_TRAINED:
        return False
    if folder == "faceforensics":
        people = set(stem[-1].split("_")) | {stem[3].split("_")[0] if "real" in stem else ""}
        return not people & (VALIDATION_TARGETS | VALIDATION_ACTORS)
    if is_own(name):
        return stem[1:2] != [HELD]
    return stem[-1] not in VALIDATION_REALS


def person_of(name: str) -> str:
    """Who a prepared real video shows: "…__08__podium_speech_happy" -> "08"; the signer is one man."""
    stem = name.split("__")
    if folder_of(name) == "faceforensics":
        return stem[3]
    if is_own(name):  # a folder below real/ is a person
        return stem[stem.index("real", 1) + 1] if "real" in stem[1:-1] else stem[-1]
    if "sign" in stem:
        return "signer"
    return "pwij3p" if stem[-1] == "id2_vcd_swwp2s" else stem[-1]


def prepared_videos(folder: Path) -> list[Path]:
    """All prepared videos, sorted by name."""
    return sorted((folder / "videos").glob("*.npz"))
