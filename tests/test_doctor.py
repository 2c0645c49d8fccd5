"""The doctor finds what keeps the program from working, and the providers are proven, not believed."""

import onnxruntime
import pytest

from export.errors import ProviderError as WrongProvider
from stream import doctor, providers
from stream.errors import ProviderError


def levels(findings) -> set[str]:
    return {finding.level for finding in findings}


def test_two_onnxruntime_wheels_are_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda wheel: "1.0")
    findings = list(doctor._runtime())
    assert levels(findings) == {"PROBLEM"}
    assert "overwrite each other" in findings[0].text


def test_missing_weights_are_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "weights_path", lambda name: tmp_path / f"{name}.onnx")
    assert levels(doctor._weights()) == {"PROBLEM"}


def test_a_broken_detector_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "weights_path", lambda name: tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_text("no model")
    assert "PROBLEM" in levels(doctor._weights())


def test_auto_takes_the_cpu_where_no_accelerator_works(monkeypatch):
    monkeypatch.setattr(providers, "try_provider", lambda name: "broken")
    assert providers.choose("auto") == ("CPUExecutionProvider",)


def test_auto_takes_an_accelerator_that_works(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers.NAMES.values()))
    monkeypatch.setattr(providers, "try_provider", lambda name: "")
    assert providers.choose("auto")[0] == "CUDAExecutionProvider"


def test_what_was_asked_for_and_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(providers, "try_provider", lambda name: "no such library")
    with pytest.raises(ProviderError, match="no such library"):
        providers.choose("cuda")


def test_a_silent_fall_back_is_seen(monkeypatch):
    def fall_back(*_):
        raise WrongProvider("asked for A, got B")

    monkeypatch.setattr(providers, "open_session", fall_back)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers.NAMES.values()))
    assert providers.try_provider("cuda")
