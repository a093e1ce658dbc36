"""What a build is made of, as CycloneDX 1.6, from the lists in it (see ``package_lists``)."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from checks.tools.components import Component
from checks.tools.package_lists import Contents

NAME: Final = "sbom.cdx.json"


def cyclonedx(
    contents: Contents, *, application: str, version: str, build_name: str, build_digest: str, at: datetime
) -> bytes:
    """CycloneDX 1.6 as JSON. The serial number is of the build and its lists, so the same build has the same.

    What the lists name without an exact version is no component; the document then calls itself incomplete.
    """
    subject, components, listing = f"{application}@{version}", contents.components, contents.listing
    unknown = [{"name": "gonogo:without-exact-version", "value": each} for each in contents.unknown]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{build_digest}/{listing}')}",
        "version": 1,
        "metadata": {
            "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "Go/No-Go"}]},
            "component": {
                "type": "application",
                "bom-ref": subject,
                "name": application,
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": build_digest}],
                "properties": [
                    {"name": "gonogo:build", "value": build_name},
                    {"name": "gonogo:listed-in", "value": listing},
                    *unknown,
                ],
            },
        },
        "components": [_component(one) for one in components],
        "dependencies": [{"ref": subject, "dependsOn": [one.purl for one in components]}],
        "compositions": [{"aggregate": "incomplete" if unknown else "unknown", "assemblies": [subject]}],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _component(one: Component) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library", "bom-ref": one.purl, "name": one.name, "version": one.version, "purl": one.purl,
    }  # fmt: skip
    if len(one.hashes) == 1:  # of several files nobody knows which was installed
        found["hashes"] = [{"alg": algorithm, "content": value} for algorithm, value in one.hashes]
    return found
