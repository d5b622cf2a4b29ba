"""The OpenAPI document against a real server: what schemathesis makes of it is answered as it says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import unquote

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from smtd.server import record_form
from smtd.server.application import PATHS
from tests.build import PROJECT, full
from tests.sampling import SOAK
from tests.server.documented import DOCUMENT
from tests.server.process import ServerProcess, server_process
from tests.server.served import PASSWORD, Client
from tests.server.streams import streaming

pytestmark = pytest.mark.halved

#: A request that schemathesis made; its parts may be anything that JSON can express.
Case: TypeAlias = Any
LOGIN = ("ada", PASSWORD)
#: What a client with a valid request must expect: something else is there, or was; 422 is beyond schemas.
EXPECTED = ["2xx", "304", "404", "410", "412", "422"]
REFUSED = ["400", "404", "405", "406", "412", "413", "415", "422"]
CONFIG = {
    "generation": {"with-security-parameters": False},
    "checks": {
        "positive_data_acceptance": {"expected-statuses": EXPECTED},
        "negative_data_rejection": {"expected-statuses": REFUSED},
    },
}
#: What Sumatra's launch modes and data stores are made of.
ARGUMENTS = [{"root": "/"}, {}, {"working_directory": None, "options": "x"}]
#: The longest that a generated request may wait for changes, in seconds.
LONGEST_WAIT = 0.01

schemathesis.openapi.format("sumatra-time", st.datetimes().map(lambda moment: moment.isoformat(" ")))
schemathesis.openapi.format(
    "dictionary", st.sampled_from([write(it) for it in ARGUMENTS for write in (repr, json.dumps)])
)
schemathesis.openapi.format(
    "parameter-set", st.sampled_from(["", "{}", "seed = 1", "a: 1"]) | st.text(max_size=5)
)


@schemathesis.serializer("application/x-ndjson")
def to_lines(_: object, value: Any) -> bytes:
    """Return the lines for which the array *value* stands; anything else is one line."""
    lines = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@schemathesis.deserializer("application/x-ndjson")
def from_lines(_: object, response: Any) -> Any:
    """Return the array that stands for the lines."""
    return [json.loads(line) for line in response.content.split(b"\n") if line]


def without_large_bodies(document: Any) -> Any:
    """Return *document* without the bound on lines: one more than 1,000 of them takes a second to make."""
    found = copy.deepcopy(document)
    for name in ("get", "write"):
        body = found["paths"][f"/api/v1/records:{name}"]["post"]["requestBody"]
        del body["content"]["application/x-ndjson"]["schema"]["maxItems"]
    return found


SCHEMA = schemathesis.openapi.from_dict(
    without_large_bodies(DOCUMENT), config=schemathesis.Config.from_dict(CONFIG)
)
OPERATIONS: dict[str, Any] = {
    operation.label: operation
    for operation in (found.ok() for found in SCHEMA.get_all_operations())  # type: ignore[union-attr]
}
#: Operations for which a request can be wrong in a way that the document names.
PARTICULAR = [name for name in OPERATIONS if "{" in name or "changes" in name or "POST" in name]
WRITE = "POST /api/v1/records:write"
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(tmp_path_factory.mktemp("document")) as made:
        yield made


@pytest.fixture
def root(server: ServerProcess) -> str:
    """A server with a project and a record."""
    headers = {"Content-Type": "application/json"}
    for path, body in ((PROJECT, b"{}"), (f"{PROJECT}/full", _body())):
        url = f"{server.root}records/{path}/"
        requests.put(url, data=body, auth=LOGIN, headers=headers).raise_for_status()
    return server.root.rstrip("/")


def _body() -> bytes:
    return record_form.encoded(record_form.document(full(), PROJECT))


def requested(name: str, mode: str) -> st.SearchStrategy[Case]:
    """Return requests of the operation *name*: for anything, and for what is there."""
    operation = OPERATIONS[name]
    places: list[dict[str, str] | None] = [None]
    if "{label}" in name and (mode == GenerationMode.POSITIVE or operation.method == "put"):
        places += [{"project": PROJECT, "label": "full"}]
    elif "{project}" in name and (mode == GenerationMode.POSITIVE or operation.method == "put"):
        places += [{"project": PROJECT}]
    return st.one_of([operation.as_strategy(generation_mode=mode, path_parameters=place) for place in places])


def ask(case: Case, root: str) -> Any:
    """Send *case*."""
    if isinstance(wait := (case.query or {}).get("wait"), (int, float)):
        case.query["wait"] = min(wait, LONGEST_WAIT)
    return case.call(base_url=root, auth=LOGIN)


def name_as_addressed(case: Case) -> None:
    """Let each record in the body of *case* have the names that its address or its line has."""
    if isinstance(case.body, list):
        for number, line in enumerate(case.body):
            line["project"] = PROJECT if number % 2 else line["project"]
            _name(line.get("record"), line["project"], line["label"])
    elif isinstance(case.body, dict) and "label" in case.path_parameters:
        _name(case.body, *(unquote(case.path_parameters[part]) for part in ("project", "label")))


def _name(record: Any, project: str, label: str) -> None:
    for field, value in (("project_id", project), ("label", label)):
        if isinstance(record, dict) and field in record:
            record[field] = value


#: Bounded, and the same each time but for `make soak`.
bounded = settings(
    max_examples=500 if SOAK else 6,
    deadline=None,
    database=None,
    derandomize=not SOAK,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_document_is_valid() -> None:
    """By the rules of OpenAPI 3.1."""
    SCHEMA.validate()


@pytest.mark.parametrize("name", OPERATIONS)
def test_valid_request_is_answered_as_documented(root: str, name: str) -> None:
    """With a status, headers and a body that the document has; nothing valid is refused."""

    @bounded
    @given(requested(name, GenerationMode.POSITIVE))
    def check(case: Case) -> None:
        name_as_addressed(case)
        case.validate_response(ask(case, root))

    check()


@pytest.mark.parametrize("name", [name for name in PARTICULAR if name != WRITE])
def test_invalid_request_is_refused_as_documented(root: str, name: str) -> None:
    """Never with 5xx, and never carried out."""

    @bounded
    @given(requested(name, GenerationMode.NEGATIVE))
    def check(case: Case) -> None:
        case.validate_response(ask(case, root))

    check()


@pytest.mark.slow
def test_invalid_line_is_not_carried_out(root: str) -> None:
    """A line that is wrong inside its record is refused alone; any other fault refuses the request."""
    lines = DOCUMENT["paths"]["/api/v1/records:write"]["post"]["requestBody"]["content"][
        "application/x-ndjson"
    ]
    line = jsonschema_rs.Draft202012Validator(
        {"components": DOCUMENT["components"], **lines["schema"]["items"]}
    )

    @bounded
    @given(requested(WRITE, GenerationMode.NEGATIVE))
    def check(case: Case) -> None:
        answer = ask(case, root)
        case.validate_response(answer, excluded_checks=[negative_data_rejection])
        if answer.status_code == 200:
            for sent, said in zip(case.body, map(json.loads, answer.content.splitlines()), strict=True):
                assert said["outcome"] != "done" or line.is_valid(sent)

    check()


def test_every_path_is_documented() -> None:
    """The server has no other: below `/records/` it knows projects and their records."""
    below = {path for path in DOCUMENT["paths"] if path.startswith("/records/")}

    assert below == {"/records/", "/records/{project}/", "/records/{project}/{label}/"}
    assert DOCUMENT["paths"].keys() - below == PATHS


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_path_has_the_documented_methods_and_no_others(root: str, path: str) -> None:
    """With HEAD for GET; the answer to any other says which there are."""
    documented = {method.upper() for method in DOCUMENT["paths"][path]} - {"PARAMETERS"}
    url = root + path.format(project="No", label="no")

    for method in METHODS:
        answer = requests.request(method, url, auth=LOGIN)
        assert (answer.status_code == 405) == (method not in documented), method
        allowed = set(answer.headers.get("Allow", "").split(", ")) - {"", "HEAD"}
        assert allowed == (documented if answer.status_code == 405 else set())
    same = requests.head(url, auth=LOGIN)
    assert same.status_code == (requests.get(url, auth=LOGIN).status_code if "GET" in documented else 405)
    assert same.content == b""


@pytest.mark.parametrize("name", OPERATIONS)
def test_login_is_needed_where_documented(root: str, name: str) -> None:
    """And nowhere else."""
    method, _, path = name.partition(" ")
    security = DOCUMENT["paths"][path][method.lower()].get("security", DOCUMENT["security"])

    answer = requests.request(method, root + path.format(project=PROJECT, label="full"))

    assert (answer.status_code == 401) == (security != [] and {} not in security)


def test_document_is_served_to_everyone(root: str) -> None:
    """The root says where it is; a client that has it is told so."""
    first = requests.get(f"{root}/api/v1/")
    found = requests.get(root + first.json()["openapi"])

    assert first.headers["Link"] == '</api/v1/openapi.json>; rel="service-desc"'
    assert found.json() == DOCUMENT
    again = requests.get(found.url, headers={"If-None-Match": found.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_events_are_changes_of_the_document(ada: Client) -> None:
    """A stream gives each as an answer does."""
    change = jsonschema_rs.Draft202012Validator(
        {"components": DOCUMENT["components"], "$ref": "#/components/schemas/Change"}
    )
    await ada.put(full())
    await ada.ask("DELETE", f"records/{PROJECT}/full/")
    await ada.put(full())

    async with streaming(ada, "since=0&include=records") as stream:
        (event,) = await stream.changes(1)

    change.validate(event)
