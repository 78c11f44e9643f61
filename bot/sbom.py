"""`python -m bot sbom`: what Loraloom is made of, as CycloneDX JSON (https://cyclonedx.org/docs/1.6/json/).

Read from requirements.lock, so it names the versions and hashes that are installed with it, on any system; what is
needed on some systems only carries its condition as a property.
"""

from __future__ import annotations

import re
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"^\s+--hash=sha256:([0-9a-f]{64})")


def bill_of_materials(lock: Path = LOCK) -> dict[str, Any]:
    """The document, the same for the same lock. Raises OSError where there is no lock, ValueError for a line in it that
    is neither comment, pin nor hash.
    """
    text = lock.read_text(encoding="utf-8")
    components: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pin, digest = _PIN.match(line), _HASH.match(line)
        if pin:
            components.append(_component(pin[1].lower().replace("_", "-"), pin[2], pin[3]))
        elif digest and components:
            components[-1]["externalReferences"][0]["hashes"].append({"alg": "SHA-256", "content": digest[1]})
        else:
            raise ValueError(f"{lock}, line {number}: {line.strip()!r} is neither a version nor a hash")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}",
        "version": 1,
        "metadata": {"component": _ours()},
        "components": components,
        "dependencies": [{"ref": "loraloom", "dependsOn": [component["bom-ref"] for component in components]}],
    }


def _component(name: str, its_version: str, condition: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{its_version}"
    files = {"type": "distribution", "url": f"https://pypi.org/project/{name}/{its_version}/#files", "hashes": []}
    component = {"type": "library", "bom-ref": purl, "name": name, "version": its_version, "purl": purl}
    marker = [{"name": "pep508:marker", "value": condition}] if condition else []
    return component | {"externalReferences": [files]} | ({"properties": marker} if marker else {})


def _ours() -> dict[str, Any]:
    try:
        own = version("loraloom")
    except PackageNotFoundError:  # run from its folder
        own = "0"
    return {"type": "application", "bom-ref": "loraloom", "name": "loraloom", "version": own}
