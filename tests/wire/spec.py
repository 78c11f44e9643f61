"""Discord's own OpenAPI description as a judge: which operation a path is, and what is wrong with a body."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Json = Any
BODY_TYPES = ("application/json", "multipart/form-data")
BOOLEANS = ("0", "1", "true", "false")  # discord.py sends 0 and 1


@dataclass(frozen=True)
class Complaint:
    """`path` leads into the body: ("0", "options", "1", "name")."""

    path: tuple[str, ...]
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path) or 'body'}: {self.text}"


class Spec:
    """Two readings of the same document: as it is for our answers, with numbers allowed as ids for requests."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._registry: Registry[Any] = Registry()
        for name, contents in (("urn:answers", document), ("urn:requests", _lenient(document))):
            resource = Resource.from_contents(contents, default_specification=DRAFT202012)
            self._registry = self._registry.with_resource(name, resource)
        self._validators: dict[str, Draft202012Validator] = {}
        templates = sorted(document["paths"], key=lambda template: template.count("{"))
        self._templates = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", t) + "$"), t) for t in templates]

    def operation(self, method: str, path: str) -> tuple[str, Json] | None:
        """("POST /channels/{channel_id}/messages", the operation) or None where Discord has no such thing."""
        for pattern, template in self._templates:
            if pattern.match(path) and method.lower() in self._document["paths"][template]:
                return f"{method} {template}", self._document["paths"][template][method.lower()]
        return None

    def request(self, route: str, query: Mapping[str, str], body: Json) -> list[Complaint]:
        method, template = route.split(" ")
        operation = self._document["paths"][template][method.lower()]
        complaints = list(self._query(operation, query))
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return complaints if body is None else [*complaints, Complaint((), "body", "this request takes no body")]
        if body is None:
            return [*complaints, Complaint((), "required", "a body is missing")]
        kind = next(kind for kind in BODY_TYPES if kind in content)
        pointer = ("paths", template, method.lower(), "requestBody", "content", kind, "schema")
        return [*complaints, *self._body(pointer, body, "urn:requests")]

    def response(self, route: str, status: int, body: Json) -> list[Complaint]:
        method, template = route.split(" ")
        if status >= 500:
            return []
        if status >= 400:  # our field errors carry Discord's text codes, which the description calls integers
            kind = "RatelimitedResponse" if status == 429 else "Error"
            return self._body(("components", "schemas", kind), body)
        answers = self._document["paths"][template][method.lower()]["responses"]
        if str(status) not in answers:
            return [Complaint((), "status", f"status {status} is not one of {', '.join(answers)}")]
        if not answers[str(status)].get("content"):
            return [] if body is None else [Complaint((), "body", f"an answer {status} has no body")]
        tail = ("responses", str(status), "content", "application/json", "schema")
        return self._body(("paths", template, method.lower(), *tail), body)

    def named(self, schema: str, body: Json) -> list[Complaint]:
        """What is wrong with a value of a request that shall be the named schema."""
        return self._body(("components", "schemas", schema), body, "urn:requests")

    def _body(self, pointer: tuple[str, ...], body: Json, document: str = "urn:answers") -> list[Complaint]:
        key = quote("/".join(part.replace("~", "~0").replace("/", "~1") for part in pointer))
        reference = f"{document}#/{key}"
        if reference not in self._validators:
            self._validators[reference] = Draft202012Validator({"$ref": reference}, registry=self._registry)
        errors = (_deepest(error) for error in self._validators[reference].iter_errors(body))
        return [Complaint(tuple(map(str, e.absolute_path)), str(e.validator), e.message[:300]) for e in errors]

    def _query(self, operation: Json, query: Mapping[str, str]) -> list[Complaint]:
        known = {p["name"]: p["schema"] for p in operation.get("parameters", []) if p["in"] == "query"}
        complaints = [Complaint((name,), "query", "no such query parameter") for name in query if name not in known]
        for name, value in query.items():
            kind = known.get(name, {}).get("type")
            if (kind == "boolean" and value not in BOOLEANS) or (kind == "integer" and not value.isdecimal()):
                complaints.append(Complaint((name,), "query", f"{value!r} is not of type {kind}"))
        return complaints


@cache
def load() -> Spec:
    return Spec(json.loads(gzip.decompress((Path(__file__).parent / "openapi.json.gz").read_bytes())))


def _lenient(document: Json) -> Json:
    """Discord takes ids as numbers too, and discord.py sends some so: in attachments, mentions, references."""
    schemas = {**document["components"]["schemas"], "SnowflakeType": {"type": ["string", "integer"]}}
    return {**document, "components": {**document["components"], "schemas": schemas}}


def _deepest(error: ValidationError) -> ValidationError:
    """Of a failed union: the complaint of the branch that fits the instance's own type best, as deep as it goes."""
    while error.validator in ("oneOf", "anyOf") and error.context:
        branches: dict[int | str, list[ValidationError]] = {}
        for child in error.context:
            branches.setdefault(child.schema_path[0], []).append(child)
        right = [branch for branch in branches.values() if not any(map(_elsewhere, branch))]
        error = max((right or list(branches.values()))[0], key=lambda child: len(child.path))
    return error


def _elsewhere(error: ValidationError) -> bool:
    """The branch is for another kind of value, or for an object with another `type`."""
    return list(error.path) == ["type"] or (not error.path and error.validator == "type")
