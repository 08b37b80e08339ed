"""Write the SBOM, CycloneDX 1.6 as JSON: exactly what was copied, which no scanner could detect in the image."""

import json
import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from imagebuild.debian import Package

Component = dict[str, object]

_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def of_distribution(distribution: Distribution) -> Component:
    """Return the component of a Python distribution."""
    metadata = distribution.metadata
    name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
    component = _component(name, distribution.version, f"pkg:pypi/{name}@{quote(distribution.version)}")
    classified = [text for text in metadata.get_all("Classifier", []) if text.startswith("License :: ")]
    named = [text.rpartition(" :: ")[2] for text in classified]
    license_text = metadata.get("License-Expression") or metadata.get("License") or ", ".join(named)
    if "License-Expression" in metadata and _SPDX.fullmatch(license_text):
        component["licenses"] = [{"expression": license_text}]
    elif license_text:
        component["licenses"] = [{"license": {"name": license_text.partition("\n")[0]}}]
    return component


def of_debian(package: Package) -> Component:
    """Return the component of a Debian package."""
    version = quote(package.version, safe="")
    purl = f"pkg:deb/debian/{quote(package.name)}@{version}?arch={package.architecture}"
    component = _component(package.name, package.version, purl)
    component["properties"] = [{"name": "debian:source", "value": package.source}]
    return component


def of_python() -> Component:
    """Return the component of the running Python."""
    version = platform.python_version()
    component = _component("cpython", version, f"pkg:generic/cpython@{version}")
    component["licenses"] = [{"license": {"id": "PSF-2.0"}}]
    return component


def bill_of_materials(product: Component, components: Iterable[Component]) -> str:
    """Return the document. It is reproducible: its serial number derives from the content, its time is fixed."""
    parts = sorted(components, key=lambda part: str(part["bom-ref"]))
    references = [str(part["bom-ref"]) for part in parts]
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, ' '.join([str(product['bom-ref']), *references]))}",
        "version": 1,
        "metadata": {
            "timestamp": f"{made:%Y-%m-%dT%H:%M:%SZ}",
            "component": {**product, "type": "application"},
        },
        "components": parts,
        "dependencies": [
            {"ref": product["bom-ref"], "dependsOn": references},
            *({"ref": reference} for reference in references),
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
