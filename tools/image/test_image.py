"""The image, pushed to a real registry on the loopback interface and pulled back by digest.

    PLAINSIGHT_WASM=dist/plainsight.wasm python3 tools/image/test_image.py

`make test ONLY=image` installs its tools: docker-registry and skopeo.
"""

import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

IMAGE = Path(__file__).resolve().parent
DEADLINE = 60  # seconds for each step, generous enough for a loaded machine
# The layer that Istio's agent accepts in an OCI manifest:
# https://github.com/istio/istio/blob/1.30.0/pkg/wasm/imagefetcher.go (extractOCIStandardImage)
AGENT_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
AGENT_FILE = "plugin.wasm"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=DEADLINE)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip()


class Registry:
    """A docker-registry with its own storage. Retries with another port if the chosen one was taken meanwhile."""

    def __init__(self, folder):
        for attempt in range(10):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.address = f"127.0.0.1:{probe.getsockname()[1]}"
            configuration = folder / f"registry-{attempt}.yml"
            configuration.write_text(json.dumps({
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(folder / f"storage-{attempt}")}},
                "http": {"addr": self.address},
            }))
            self.log = folder / f"registry-{attempt}.log"
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(["docker-registry", "serve", configuration], stdout=log, stderr=log)
            if self.answers():
                return
            self.stop()
        raise AssertionError(f"docker-registry: does not serve: {self.log.read_text()[-2000:]}")

    def answers(self):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            # Its log, not an answer on the port, which could come from another process.
            if "listening on" in self.log.read_text():
                return True
            time.sleep(0.02)
        return False

    def get(self, path, accept=None):
        request = urllib.request.Request(f"http://{self.address}/v2/plainsight/{path}")
        if accept:
            request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.headers, answer.read()

    def stop(self):
        self.process.kill()
        self.process.wait()


class TheImage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        module = os.environ.get("PLAINSIGHT_WASM") or sys.exit("PLAINSIGHT_WASM: not set: run make test ONLY=image")
        cls.module = Path(module)
        cls.wasm = cls.module.read_bytes()
        cls.work = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.work.name)
        cls.addClassCleanup(cls.work.cleanup)
        cls.layout = cls.folder / "image"
        cls.digest = run(IMAGE / "build", cls.module, cls.layout)
        cls.registry = Registry(cls.folder)
        cls.addClassCleanup(cls.registry.stop)
        cls.push(cls.layout, "pushed")

    @classmethod
    def push(cls, layout, tag):
        run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:plainsight",
            f"docker://{cls.registry.address}/plainsight:{tag}")

    def pulled(self):
        """The manifest, the configuration and the layers, by digest, each verified against its digest."""
        headers, manifest = self.registry.get(f"manifests/{self.digest}", "application/vnd.oci.image.manifest.v1+json")
        self.assertEqual("sha256:" + hashlib.sha256(manifest).hexdigest(), self.digest)
        self.assertEqual(headers["Content-Type"], "application/vnd.oci.image.manifest.v1+json")
        manifest = json.loads(manifest)
        blobs = []
        for descriptor in [manifest["config"], *manifest["layers"]]:
            _, blob = self.registry.get(f"blobs/{descriptor['digest']}")
            self.assertEqual("sha256:" + hashlib.sha256(blob).hexdigest(), descriptor["digest"])
            self.assertEqual(len(blob), descriptor["size"])
            blobs.append(blob)
        return manifest, json.loads(blobs[0]), blobs[1:]

    def files(self, layer):
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:gz") as tar:
            return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}

    def test_the_registry_gives_back_the_module_by_digest(self):
        _, _, layers = self.pulled()
        self.assertEqual(self.files(layers[-1])[AGENT_FILE], self.wasm)

    def test_the_last_layer_is_of_the_type_that_the_agent_takes(self):
        manifest, config, layers = self.pulled()
        self.assertEqual(manifest["layers"][-1]["mediaType"], AGENT_LAYER)
        self.assertEqual(len(layers), 1, "FROM scratch and one COPY: one layer")
        unpacked = ["sha256:" + hashlib.sha256(gzip.decompress(layer)).hexdigest() for layer in layers]
        self.assertEqual(config["rootfs"]["diff_ids"], unpacked)

    def test_skopeo_pulls_it_by_digest_and_finds_it_unchanged(self):
        run("skopeo", "copy", "--src-tls-verify=false",
            f"docker://{self.registry.address}/plainsight@{self.digest}", f"oci:{self.folder}/back:plainsight")
        index = json.loads((self.folder / "back/index.json").read_text())
        self.assertEqual([entry["digest"] for entry in index["manifests"]], [self.digest])

    def test_a_digest_that_was_never_pushed_is_refused(self):
        with self.assertRaisesRegex(AssertionError, "manifest unknown"):
            run("skopeo", "copy", "--src-tls-verify=false",
                f"docker://{self.registry.address}/plainsight@sha256:{'1' * 64}", f"oci:{self.folder}/wrong:plainsight")

    def test_two_builds_have_the_same_digest(self):
        elsewhere = self.folder / "copy.wasm"
        elsewhere.write_bytes(self.wasm)
        os.utime(elsewhere, (1_000_000_000, 1_000_000_000))
        self.assertEqual(run(IMAGE / "build", elsewhere, self.folder / "second"), self.digest)

    def test_another_module_has_another_digest(self):
        other = self.folder / "other.wasm"
        other.write_bytes(self.wasm + b"\0\2\1x")  # an empty custom section
        self.assertNotEqual(run(IMAGE / "build", other, self.folder / "third"), self.digest)

    def test_what_is_no_module_makes_no_image(self):
        text = self.folder / "text.wasm"
        text.write_text("no module")
        with self.assertRaisesRegex(AssertionError, "not a Wasm module"):
            run(IMAGE / "build", text, self.folder / "none")
        self.assertFalse((self.folder / "none").exists())

    def test_the_labels_name_the_version(self):
        manifest, config, _ = self.pulled()
        labels = config["config"]["Labels"]
        version = run("cargo", "pkgid", "--locked", "--package", "plainsight", "--manifest-path",
                      IMAGE.parent.parent / "Cargo.toml").rsplit("#", 1)[1].rsplit("@", 1)[-1]
        self.assertEqual(labels["org.opencontainers.image.version"], version)
        self.assertEqual(labels["org.opencontainers.image.title"], "plainsight")
        self.assertEqual(labels["org.opencontainers.image.licenses"], "Apache-2.0")
        self.assertEqual(manifest["annotations"], labels)


if __name__ == "__main__":
    unittest.main(verbosity=2)
