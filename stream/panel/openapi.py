"""The API's own description: an OpenAPI 3.1 document, which tests are made from too."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stream.values import State

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _many(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _json(schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _failed(*statuses: int) -> dict[str, Any]:
    words = {
        400: "the request is not as described",
        401: "a token, or a log-in, is needed",
        403: "this request may not be made so",
        404: "there is no such thing here",
        405: "this method is not known here",
        408: "the body did not come in time",
        409: "not yet",
        413: "the body is too long",
        415: "another content type, or no picture or video",
        429: "too many requests; Retry-After says when",
        503: "full; Retry-After says when",
        507: "no room on the disk",
    }
    return {str(status): _json(_ref("Error"), words[status]) for status in (*statuses, 405)}


def schemas() -> dict[str, Any]:
    """The values that come and go."""
    face = {
        "face": _WHOLE,
        "state": _ref("State"),
        "fake": _SHARE,
        "peak": _SHARE,
        "time": {**_NUMBER, "description": "s, of the key picture"},
        "box": {**_many(_NUMBER), "minItems": 4, "maxItems": 4, "description": "x1 y1 x2 y2, px"},
        "size": _NUMBER,
        "samples": {**_many(_many(_NUMBER)), "description": "[time s, score 0..1]"},
        "reason": {**_TEXT, "description": "why nothing was scored"},
        "moments": {
            **_many(_many(_NUMBER)),
            "description": "[time s, logit] of the window at the key picture",
        },
    }
    report = {
        "schema": {"const": 1},
        "type": {"const": "check"},
        "name": _TEXT,
        "sha256": _TEXT,
        "bytes": _WHOLE,
        "kind": {"enum": ["picture", "animation", "video", "unknown"]},
        "verdict": _ref("State"),
        "sentence": {**_TEXT, "description": "the verdict in plain words"},
        "fake": _SHARE,
        "real": _SHARE,
        "faces": _many(_ref("Face")),
        "media": {"type": "object", "description": "container, codec, size, tags, hints"},
        "model": {"type": ["object", "null"], "description": "which detector judged, and its thresholds"},
        "provenance": _object({"status": _TEXT, "text": _TEXT}),
        "notes": _many(_TEXT),
        "error": {"anyOf": [_object({"code": _WHOLE, "line": _TEXT}), {"type": "null"}]},
        "analysed": _NUMBER,
        "frames": _WHOLE,
    }
    check = {
        "id": _TEXT,
        "name": _TEXT,
        "by": {**_TEXT, "description": "the user who asked, empty without a log-in"},
        "created": {**_NUMBER, "description": "s since the epoch"},
        "status": {"enum": ["queued", "running", "done"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "report": {"anyOf": [_ref("Report"), {"type": "null"}]},
        "pictures": {**_many(_TEXT), "description": "names under …/pictures/"},
    }
    entry = {
        "schema": {"const": 1},
        "type": {"const": "entry"},
        "id": _WHOLE,
        "time": {**_TEXT, "description": "`at`, ISO 8601 UTC"},
        "kind": {"enum": ["check", "alert"]},
        "at": {**_NUMBER, "description": "s since the epoch"},
        "name": _TEXT,
        "verdict": _ref("State"),
        "fake": _SHARE,
        "by": _TEXT,
        "facts": {"type": "object", "description": "the whole report, or the whole alert"},
    }
    return {
        "Error": _object({"error": _TEXT, "login": _TEXT}, "login"),
        "State": {"enum": [state.value for state in State]},
        "Face": _object(face),
        "Report": _object(report),
        "Check": _object(check),
        "Entry": _object(entry),
    }


def document(most: int, history: bool = False, login: bool = False) -> dict[str, Any]:
    """The document. most: bytes of an upload. history, login: whether these resources are there."""
    paths = _checks(most)
    if history:
        paths |= _history()
    if login:
        paths |= _session()
    secure: list[dict[str, list[str]]] = [{}, {"bearer": []}]
    schemes: dict[str, Any] = {"bearer": {"type": "http", "scheme": "bearer"}}
    if login:
        secure.append({"session": []})
        schemes["session"] = {"type": "apiKey", "in": "cookie", "name": "facewitness"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Facewitness",
            "version": _version(),
            "description": "Checks pictures and videos for faces that are not real. A verdict is no proof.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": secure,
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": schemes},
    }


def _checks(most: int) -> dict[str, Any]:
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    upload = {
        "type": "object",
        "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "required": ["file"],
    }
    picture = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "/api/v1/checks": {
            "get": {
                "summary": "The checks of the last hour, the newest first",
                "operationId": "listChecks",
                "responses": {
                    "200": _json(_object({"checks": _many(_ref("Check"))}), "the checks"),
                    **_failed(401, 403, 429),
                },
            },
            "post": {
                "summary": "Check a picture or a video",
                "operationId": "createCheck",
                "description": f"At most {most >> 20} MiB. The upload is deleted once it is checked.",
                "requestBody": {
                    "required": True,
                    "content": {"multipart/form-data": {"schema": upload}},
                },
                "responses": {
                    "202": {
                        **_json(_ref("Check"), "queued"),
                        "headers": {"Location": {"schema": _TEXT, "required": True}},
                    },
                    **_failed(400, 401, 403, 408, 413, 415, 429, 503, 507),
                },
            },
        },
        "/api/v1/checks/{id}": {
            "parameters": [name],
            "get": {
                "summary": "One check, with its report once it is done",
                "operationId": "getCheck",
                "responses": {"200": _json(_ref("Check"), "the check"), **_failed(400, 401, 403, 404, 429)},
            },
            "delete": {
                "summary": "Forget a check; one that runs is ended",
                "operationId": "deleteCheck",
                "responses": {"204": {"description": "it is gone"}, **_failed(400, 401, 403, 404, 429)},
            },
        },
        "/api/v1/checks/{id}/report": {
            "parameters": [name],
            "get": {
                "summary": "The report as one page that needs nothing else",
                "operationId": "getReport",
                "responses": {
                    "200": {"description": "the page", "content": {"text/html": {"schema": _TEXT}}},
                    **_failed(400, 401, 403, 404, 409, 429),
                },
            },
        },
        "/api/v1/checks/{id}/pictures/{name}": {
            "parameters": [name, picture],
            "get": {
                "summary": "A picture of a check: picture, key-N, crop-N, map-N",
                "operationId": "getPicture",
                "responses": {
                    "200": {"description": "the picture", "content": {"image/jpeg": {}}},
                    **_failed(400, 401, 403, 404, 429),
                },
            },
        },
    }


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def _history() -> dict[str, Any]:
    number = {"type": "number", "minimum": 0, "maximum": 1e11}
    query = [
        _query("kind", {"enum": ["check", "alert"]}, "one kind alone"),
        _query("text", {"type": "string", "maxLength": 200}, "a part of the name, in any case of letters"),
        _query("verdict", {"enum": [state.value for state in State]}, "one verdict alone"),
        _query("since", number, "s since the epoch"),
        _query("until", number, "s since the epoch"),
    ]
    paging = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 500}, "entries of one answer"),
        _query("before", {"type": "integer", "minimum": 1, "maximum": 10**18}, "`next` of the answer before"),
    ]
    name = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": 10**18},
    }
    page = _object({"entries": _many(_ref("Entry")), "next": {"type": ["integer", "null"]}})
    csv = {"description": "every entry that fits", "content": {"text/csv": {"schema": _TEXT}}}
    return {
        "/api/v1/history": {
            "get": {
                "summary": "Checks and alerts that were kept, the newest first",
                "operationId": "searchHistory",
                "parameters": query + paging,
                "responses": {"200": _json(page, "some entries"), **_failed(400, 401, 403, 429, 503)},
            }
        },
        "/api/v1/history.csv": {
            "get": {
                "summary": "The same as a table, all of it",
                "operationId": "exportHistory",
                "parameters": query,
                "responses": {"200": csv, **_failed(400, 401, 403, 429, 503)},
            }
        },
        "/api/v1/history/{id}": {
            "parameters": [name],
            "get": {
                "summary": "One entry",
                "operationId": "getEntry",
                "responses": {
                    "200": _json(_ref("Entry"), "the entry"),
                    **_failed(400, 401, 403, 404, 429, 503),
                },
            },
            "delete": {
                "summary": "Delete an entry; administrators only",
                "operationId": "deleteEntry",
                "responses": {
                    "204": {"description": "it is gone"},
                    **_failed(400, 401, 403, 404, 429, 503),
                },
            },
        },
    }


def _session() -> dict[str, Any]:
    user = _object(
        {"login": {"type": "boolean"}, "name": _TEXT, "role": _TEXT, "pages": _many(_TEXT)}, "pages"
    )
    words = {"type": "string", "minLength": 1, "maxLength": 1024}
    body = {"application/json": {"schema": _object({"name": words, "password": words})}}
    return {
        "/api/v1/session": {
            "get": {
                "summary": "Who is logged in",
                "operationId": "getSession",
                "security": [{}],
                "responses": {
                    "200": _json(user, "the user; name and role are empty for nobody"),
                    **_failed(403),
                },
            },
            "post": {
                "summary": "Log in",
                "operationId": "logIn",
                "security": [{}],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "200": _json(user, "logged in; the session is a cookie"),
                    **_failed(400, 401, 403, 408, 413, 415, 429, 503),
                },
            },
            "delete": {
                "summary": "Log out",
                "operationId": "logOut",
                "security": [{}],
                "responses": {"204": {"description": "logged out"}, **_failed(403)},
            },
        }
    }


def _version() -> str:
    try:
        return version("facewitness")
    except PackageNotFoundError:
        return "0"
