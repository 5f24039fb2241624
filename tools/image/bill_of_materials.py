"""The SPDX 2.3 bill of materials of the module: the crates that are linked into it."""

import json
import re
import subprocess

# https://spdx.github.io/spdx-spec/v2.3/
SPDX_VERSION = "SPDX-2.3"
TARGET = "wasm32-unknown-unknown"


def cargo_metadata(root):
    """What cargo knows of the workspace, for the target of the module."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}"]
    return json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)


def normal_dependencies(node):
    """What a crate links: neither its build's nor its tests' dependencies."""
    return [
        dependency["pkg"] for dependency in node["deps"]
        if any(kind["kind"] is None for kind in dependency["dep_kinds"])
    ]


def linked_packages(metadata):
    """The filter and every crate it links, by name; without build and test dependencies and without procedural macros,
    which run in the compiler."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id for id, package in packages.items() if package["name"] == "plainsight")
    reached, queue = set(), [root]
    while queue:
        id = queue.pop()
        if id in reached or any("proc-macro" in target["kind"] for target in packages[id]["targets"]):
            continue
        reached.add(id)
        queue += normal_dependencies(nodes[id])
    linked = sorted((packages[id] for id in reached), key=lambda package: (package["name"], package["version"]))
    return packages[root], linked, nodes


def checksums(root):
    """The SHA-256 of each crate's archive, by name and version, from Cargo.lock."""
    found, entry = {}, {}
    for line in (root / "Cargo.lock").read_text().splitlines():
        if line == "[[package]]":
            entry = {}
        elif " = \"" in line:
            key, value = line.split(" = ", 1)
            entry[key] = value.strip('"')
            if key == "checksum":
                found[entry["name"], entry["version"]] = entry["checksum"]
    return found


def spdx_id(package):
    """Letters, digits, dots and hyphens only: https://spdx.github.io/spdx-spec/v2.3/package-information/#72-package-spdx-identifier-field"""
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"SPDXRef-Package-{package['name']}-{package['version']}")


def document(root, metadata, module_sha256, created):
    """The document as JSON text; the same input gives the same bytes."""
    filter_package, linked, nodes = linked_packages(metadata)
    archives = checksums(root)
    ids = {package["id"]: spdx_id(package) for package in linked}
    packages, relationships = [], []
    for package in linked:
        checksum = archives.get((package["name"], package["version"]))
        is_filter = package["id"] == filter_package["id"]
        packages.append({
            "SPDXID": ids[package["id"]],
            "name": package["name"],
            "versionInfo": package["version"],
            "downloadLocation": "NOASSERTION" if is_filter
            else f"https://crates.io/api/v1/crates/{package['name']}/{package['version']}/download",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            # "MIT/Apache-2.0" is the old way to write it: https://doc.rust-lang.org/cargo/reference/manifest.html
            "licenseDeclared": (package["license"] or "NOASSERTION").replace("/", " OR "),
            "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": "SHA256", "checksumValue": module_sha256 if is_filter else checksum}],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:cargo/{package['name']}@{package['version']}",
            }],
            **({"primaryPackagePurpose": "LIBRARY", "packageFileName": "plugin.wasm"} if is_filter else {}),
        })
        for dependency in sorted(normal_dependencies(nodes[package["id"]])):
            if dependency in ids:
                relationships.append({
                    "spdxElementId": ids[package["id"]],
                    "relationshipType": "DEPENDS_ON",
                    "relatedSpdxElement": ids[dependency],
                })
    described = ids[filter_package["id"]]
    relationships.insert(0, {
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": described,
    })
    version = filter_package["version"]
    return json.dumps({
        "spdxVersion": SPDX_VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"plainsight-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/plainsight-{version}-{module_sha256}",
        "creationInfo": {"created": created, "creators": [f"Tool: plainsight-image-{version}"]},
        "packages": packages,
        "relationships": relationships,
    }, indent=1, sort_keys=True) + "\n"
