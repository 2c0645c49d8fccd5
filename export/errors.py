"""What can go wrong when an exported file is opened; each message is one line that a user can read."""


class ModelError(Exception):
    """The file is missing, damaged, not an ONNX model, or carries no card that this program can read."""


class ProviderError(Exception):
    """The execution provider asked for is not the provider that onnxruntime gave."""
