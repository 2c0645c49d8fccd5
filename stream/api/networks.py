"""The networks of a program that imports us: opened once, shared by all that watch and score in it."""

import threading

from stream.networks import NetworkPool, Networks
from stream.providers import choose

_OPENING = threading.Lock()
_POOLS: dict[tuple[tuple[str, ...], int], NetworkPool] = {}


def networks_of(model: str, provider: str, threads: int, min_face: int) -> Networks:
    """Raises ModelError, ProviderError; ConfigError for a provider that is none."""
    key = choose(provider), threads
    with _OPENING:
        if key not in _POOLS:
            _POOLS[key] = NetworkPool(*key)
        pool = _POOLS[key]
    return pool.get(model, min_face)
