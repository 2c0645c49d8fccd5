"""The REST API against its own document: schemathesis makes requests of it, and holds the answers to it."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from tests.relay_process import RelayProcess  # noqa: E402
from tests.test_panel import PORTRAIT, ask, checked  # noqa: E402

OPERATIONS = {
    "GET /api/v1/checks",
    "POST /api/v1/checks",
    "GET /api/v1/checks/{id}",
    "DELETE /api/v1/checks/{id}",
    "GET /api/v1/checks/{id}/report",
    "GET /api/v1/checks/{id}/pictures/{name}",
}


@pytest.fixture(scope="module")
def relay() -> Iterator[RelayProcess]:
    with RelayProcess() as started:
        yield started
        assert started.troubles() == []


@pytest.fixture(scope="module")
def api(relay: RelayProcess):
    return schemathesis.openapi.from_url(f"{relay.url}/api/v1/openapi.json")


def test_every_answer_is_as_the_document_says(api):
    """Not through schemathesis's own plugin, which knows pytest 9's functions no more."""
    seen = Counter[str]()

    def hold(operation) -> None:
        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def one(case) -> None:
            response = case.call(headers={"Connection": "close"})
            seen[f"{operation.label} {response.status_code}"] += 1
            if response.status_code != 429:  # the address has had its share: the answer says when it has more
                # A schema cannot say what a picture is: most uploads that fit it are none.
                case.validate_response(response, excluded_checks=[positive_data_acceptance])

        one()

    for found in api.get_all_operations():
        hold(found.ok())
    assert {label.rpartition(" ")[0] for label in seen} == OPERATIONS
    assert {label[-3:] for label in seen} >= {"200", "404"}, seen


def test_a_real_check_is_as_the_document_says(relay: RelayProcess):
    jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")

    async def scenario():
        document = json.loads((await ask("GET", f"{relay.url}/api/v1/openapi.json"))[2])
        found = await checked(relay.url, PORTRAIT, "a.jpg")
        whole = {**document["components"]["schemas"]["Check"], "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole)
        validator.validate(found)
        assert not validator.is_valid({**found, "status": "odd"})
        assert not validator.is_valid({**found, "report": {**found["report"], "fake": 2}})

    asyncio.run(scenario())
