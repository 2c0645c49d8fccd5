"""From settings to what evidence needs of them: the store, and what each folder tells of its stream."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.card import Thresholds
from stream.config import Settings
from stream.evidence.job import Facts
from stream.evidence.key import default_key, open_signer
from stream.evidence.store import Adorn, EvidenceStore, Limits
from stream.networks import Networks
from stream.redact import SECRETS, redact
from stream.stream_config import label

GB = 1_000_000_000  # bytes


def open_store(settings: Settings, adorn: Adorn | None = None) -> EvidenceStore:
    """What `--evidence` asks for. adorn: see EvidenceStore. Raises ConfigError, OutputError."""
    assert settings.evidence is not None
    key = Path(settings.evidence_key) if settings.evidence_key else default_key()
    limits = Limits(round(settings.evidence_quota * GB), settings.evidence_days)
    return EvidenceStore(Path(settings.evidence), open_signer(key), limits, adorn)


def facts_of(settings: Settings, networks: Networks, thresholds: Thresholds) -> Facts:
    """What holds for all alerts of a stream, credentials removed."""
    for place in (settings.source, settings.push, settings.history, *settings.alert):
        SECRETS.register(place or "")
    card = networks.detector.card
    return Facts(
        stream=settings.name,
        source=label(settings),
        settings={name: _hidden(value) for name, value in asdict(settings).items()},
        card=card.to_json(),
        model={"sha256": networks.sha256, "provider": networks.provider},
        thresholds=thresholds,
        crop=card.crop,
        window=card.window.seconds,
    )


def _hidden(value: Any) -> Any:
    """A setting as a JSON value without credentials."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_hidden(each) for each in value]
    return json.loads(json.dumps(value))
