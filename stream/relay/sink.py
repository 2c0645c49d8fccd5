"""The sink that brings alerts to the page, the event stream and the data channels."""

from stream.relay.events import Hub, alert_message
from stream.values import Alert


class HubSink:
    """Hands each event of an alert to the hub."""

    def __init__(self, hub: Hub, name: str | None = None) -> None:
        """name: of the stream, where alerts carry the source's URL instead."""
        self._hub, self._name = hub, name

    def __str__(self) -> str:
        return "the page"

    def send(self, alert: Alert) -> None:
        """Tell it."""
        self._hub.publish(alert_message(self._name or alert.source, alert))

    def close(self) -> None:
        """Nothing is held back."""
