"""Documents of a layer that was really built: where its zip comes from stands beside it, signed if one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.audit.provenance import read_statement
from layerlock.audit.sbom import FORMATS, check_sbom
from layerlock.errors import BadAttestation
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.documents import attest, bill_of_materials, verify
from layerlock.workflows.locking import lock_layer

from .conftest import Bench

HEAVY = ("cryptography", "cyclonedx", "packageurl", "spdx_tools")


@pytest.mark.sandbox
def test_documents_of_a_layer(bench: Bench, tmp_path: Path) -> None:
    lock_layer(bench.driver(), "tiny")
    dist = tmp_path / "dist"
    built = build_layer(bench.driver(), "tiny", dist)
    statement = dist / "tiny.intoto.json"
    unconfirmed = statement.read_bytes()
    assert read_statement(unconfirmed)[0] == {"tiny.zip": built.sha256}
    key = Ed25519PrivateKey.generate()
    with pytest.raises(BadAttestation, match="records no zip"):
        attest(bench.driver(), "tiny", built.path, key)

    record_layer(bench.driver(), "tiny", dist)
    recorded = statement.read_bytes()
    assert recorded != unconfirmed
    statement.unlink()
    build_layer(bench.driver(), "tiny", dist)
    assert statement.read_bytes() == recorded

    envelope = attest(bench.driver(), "tiny", built.path, key).path
    assert verify(envelope, key.public_key(), built.path).layer == "tiny"
    for form in FORMATS:
        path = tmp_path / f"tiny.{form}.json"
        path.write_text(bill_of_materials(bench.driver(), "tiny", form))
        assert check_sbom(path) == form


def test_a_build_loads_nothing_of_what_documents_need() -> None:
    code = f"""
import sys
import layerlock.workflows.building
sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
