"""Statements of where a zip comes from, and their signatures, read by in-toto's and securesystemslib's own code."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from layerlock.audit.dsse import (
    LARGEST,
    PAYLOAD_TYPE,
    opened,
    pre_authentication,
    read_private_key,
    read_public_key,
    seal,
)
from layerlock.audit.provenance import encode, read_statement, statement
from layerlock.errors import BadAttestation, UsageError
from layerlock.io.lockfile import read_lock
from layerlock.model.lock import Lock, LockedGit, LockedPath
from layerlock.plan.resolve import Plan
from layerlock.workflows.documents import attest, verify
from layerlock.workflows.planning import load_layer, recorded
from tests.audit.copies import ROOT, Copy

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def public_pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    """Spell a public key."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: Any, password: bytes | None = None) -> bytes:
    """Spell a private key."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return pem


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy the recipes."""
    return Copy(tmp_path)


def made(copy: Copy, sha256: str | None = None) -> dict[str, Any]:
    """Make the statement of cv as it is recorded."""
    lock, plan, _ = load_layer(copy.driver(), "cv")
    assert lock.zip is not None
    hashed = hashlib.sha256(copy.driver().repository.lock_path("cv").read_bytes()).hexdigest()
    recipe = copy.driver().repository.layer("cv")
    return statement(recipe, lock, hashed, plan, sha256 or lock.zip.sha256, recorded(lock))


def test_the_statement_is_one_of_in_toto_with_slsa_provenance(copy: Copy) -> None:
    document = made(copy)
    parsed = statement_pb2.Statement()
    json_format.Parse(encode(document), parsed)
    Statement.copy_from_pb(parsed).validate()
    # Unknown fields are refused: everything is where SLSA's own definition has it.
    predicate = provenance_pb2.Provenance()
    json_format.ParseDict(document["predicate"], predicate)
    assert predicate.build_definition.build_type == "urn:layerlock:build:layer:1"
    assert predicate.run_details.builder.id == "urn:layerlock:driver"


def test_it_names_lock_derivations_sources_patches_and_guest_code(copy: Copy) -> None:
    document = made(copy)
    lock = read_lock(ROOT / "lockfiles/cv.lock", "cv")
    definition = document["predicate"]["buildDefinition"]
    text = (ROOT / "lockfiles/cv.lock").read_bytes()
    assert definition["externalParameters"]["lock"]["digest"]["sha256"] == hashlib.sha256(text).hexdigest()
    told = {d["name"]: d for d in definition["internalParameters"]["derivations"]}
    assert {name: d["planned"] for name, d in told.items()} == {d.name: d.planned for d in lock.derivations}
    assert told["numpy"]["output"] == next(d.output for d in lock.derivations if d.name == "numpy")
    inputs = {d["name"]: d for d in definition["resolvedDependencies"]}
    assert {source.key for source in lock.sources} <= inputs.keys()
    patch = "patches/opencv/0002-no-build-folder-in-data-search.patch"
    assert inputs[patch]["digest"]["sha256"] == hashlib.sha256((ROOT / patch).read_bytes()).hexdigest()
    guest = ROOT / "src/layerlock/guest/assemble.py"
    assert inputs["guest/assemble.py"]["digest"]["sha256"] == hashlib.sha256(guest.read_bytes()).hexdigest()
    assert lock.zip is not None
    assert document["subject"] == [{"name": "cv.zip", "digest": {"sha256": lock.zip.sha256}}]


def test_it_holds_no_time_and_nothing_of_the_machine(copy: Copy, tmp_path: Path) -> None:
    text = encode(made(copy))
    assert text == encode(made(Copy(tmp_path / "elsewhere")))
    assert b"startedOn" not in text
    assert str(tmp_path).encode() not in text


def test_git_sources_and_folders(copy: Copy) -> None:
    tree = "sha256-" + "A" * 43 + "="
    lock = Lock(
        version=2,
        layer="cv",
        sources=(
            git("scipy-git/scipy", tree),
            folder("own/own", tree),
        ),
    )
    recipe = copy.driver().repository.layer("cv")
    document = statement(recipe, lock, "0" * 64, Plan(derivations=(), planned={}), "1" * 64, {})
    own, scipy = document["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert own == {"name": "own/own", "digest": {"narSha256": "0" * 64}}
    assert scipy["uri"] == f"git+https://example.org/scipy.git@{'a' * 40}"
    assert scipy["digest"] == {"gitCommit": "a" * 40, "narSha256": "0" * 64}


def git(key: str, tree: str) -> LockedGit:
    """Make the pin of a checkout."""
    urls = ("https://example.org/scipy.git",)
    return LockedGit(kind="git", key=key, urls=urls, commit="a" * 40, tree=tree)


def folder(key: str, tree: str) -> LockedPath:
    """Make the pin of a folder."""
    return LockedPath(kind="path", key=key, path="own", tree=tree)


def test_an_envelope_is_verified_by_securesystemslib() -> None:
    envelope = Envelope.from_dict(json.loads(seal(b'{"a": 1}', KEY)))
    assert envelope.payload_type == PAYLOAD_TYPE
    (keyid,) = envelope.signatures
    raw = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": raw})
    assert envelope.verify([key], 1).keys() == {keyid}
    assert envelope.pae() == pre_authentication(PAYLOAD_TYPE, b'{"a": 1}')


def test_an_envelope_by_openssl_is_opened(tmp_path: Path) -> None:
    """The signature of another program, with url-safe base64 and no key id."""
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    (tmp_path / "pae").write_bytes(
        pre_authentication(PAYLOAD_TYPE, b'{"\xc3\xbf\xc3\xbf\xc3\xbf": "\xc3\xbe>?"}')
    )
    command = ["openssl", "pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "pae", "-out", "sig"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    signature = base64.urlsafe_b64encode((tmp_path / "sig").read_bytes()).decode()
    payload = base64.urlsafe_b64encode(b'{"\xc3\xbf\xc3\xbf\xc3\xbf": "\xc3\xbe>?"}').decode()
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": [{"sig": signature}]}
    assert opened(json.dumps(envelope).encode(), KEY.public_key()).startswith(b'{"')


def changed(**changes: Any) -> bytes:
    """Seal something, and change the envelope."""
    envelope = json.loads(seal(b'{"a": 1}', KEY))
    return json.dumps(envelope | changes).encode()


SIGNATURES = json.loads(seal(b'{"a": 1}', KEY))["signatures"]
BAD_ENVELOPES: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "is not JSON"),
    "binary": (b"\xff\xfe\x00", "is not JSON"),
    "too deep": (b'{"a":' * 100_000, "is not JSON"),
    "an array": (b"[]", "no DSSE envelope"),
    "no signature": (changed(signatures=[]), "no DSSE envelope"),
    "no text": (changed(payload=7), "no DSSE envelope"),
    "unsigned statement": (b'{"_type": "https://in-toto.io/Statement/v1"}', "nobody signed"),
    "signature without sig": (changed(signatures=[{"keyid": "x"}]), "has no `sig`"),
    "signature no base64": (changed(signatures=[{"sig": "%%"}]), "signature is not base64"),
    "signature not ascii": (changed(signatures=[{"sig": "é"}]), "signature is not base64"),
    "payload no base64": (changed(payload="e30"), "payload is not base64"),
    "tampered payload": (changed(payload="e30="), "the signature is not that of the payload"),
    "tampered signature": (
        changed(signatures=[{**SIGNATURES[0], "sig": base64.b64encode(bytes(64)).decode()}]),
        "the signature is not that of the payload",
    ),
    "another type": (changed(payloadType="text/plain"), "'text/plain', not application"),
    "short signature": (changed(signatures=[{"sig": "AAAA"}]), "no signature is by this key"),
}


@pytest.mark.parametrize("name", BAD_ENVELOPES)
def test_bad_envelopes(name: str) -> None:
    envelope, said = BAD_ENVELOPES[name]
    with pytest.raises(BadAttestation, match=said):
        opened(envelope, KEY.public_key())


def test_a_huge_envelope_is_not_parsed() -> None:
    with pytest.raises(BadAttestation, match="more than 64 MiB"):
        opened(bytes(LARGEST + 1), KEY.public_key())


def test_another_key_and_a_second_signature() -> None:
    with pytest.raises(BadAttestation, match="no signature is by this key") as raised:
        opened(seal(b"{}", KEY), OTHER.public_key())
    assert hashlib.sha256(
        OTHER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest() in str(raised.value.hint)
    one, other = (json.loads(seal(b"{}", key)) for key in (KEY, OTHER))
    one["signatures"] += other["signatures"]
    assert opened(json.dumps(one).encode(), OTHER.public_key()) == b"{}"


def test_keys_that_do_not_fit() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(BadAttestation, match="another kind; ed25519"):
        read_private_key(private_pem(curve), "k")
    curve_pem = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadAttestation, match="another kind; ed25519"):
        read_public_key(curve_pem, "k")
    with pytest.raises(BadAttestation, match="k is a private key"):
        read_public_key(private_pem(KEY), "k")
    for pem in (b"", b"\x00\xff", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(BadAttestation, match="is no public key in PEM"):
            read_public_key(pem, "k")
        with pytest.raises(BadAttestation, match="is no private key in PEM"):
            read_private_key(pem, "k")
    locked = private_pem(KEY, b"secret")
    with pytest.raises(BadAttestation, match="needs a password"):
        read_private_key(locked, "k")
    with pytest.raises(BadAttestation, match="its password is wrong"):
        read_private_key(locked, "k", b"guess")
    with pytest.raises(BadAttestation, match="is not encrypted"):
        read_private_key(private_pem(KEY), "k", b"secret")
    assert read_private_key(locked, "k", b"secret").private_bytes_raw() == KEY.private_bytes_raw()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d | {"_type": "https://in-toto.io/Statement/v0.1"}, "no in-toto Statement v1"),
        (lambda d: d | {"subject": []}, "no in-toto Statement v1"),
        (lambda d: d | {"subject": [{"name": "x", "digest": {"sha512": "0"}}]}, "no sha256"),
        (lambda d: d | {"predicateType": "https://example.org/else"}, "another kind"),
        (lambda d: d | {"predicate": []}, "another kind"),
        (lambda d: [d], "no in-toto Statement v1"),
    ],
)
def test_statements_of_another_kind(copy: Copy, change: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(BadAttestation, match=said):
        read_statement(json.dumps(change(made(copy))).encode())


@pytest.fixture
def zipped(copy: Copy) -> Path:
    """Put a file in the place of cv's zip, and its hash into the lock: nothing here looks into it."""
    place = copy.root / "dist" / "cv.zip"
    place.parent.mkdir()
    place.write_bytes(b"the bytes of a zip")
    lock = read_lock(copy.root / "lockfiles/cv.lock", "cv")
    assert lock.zip is not None
    copy.replace("lockfiles/cv.lock", lock.zip.sha256, hashlib.sha256(place.read_bytes()).hexdigest())
    return place


def test_attest_and_verify(copy: Copy, zipped: Path) -> None:
    signed = attest(copy.driver(), "cv", zipped, KEY)
    first = signed.path.read_bytes()
    assert attest(copy.driver(), "cv", zipped, KEY).path.read_bytes() == first
    said = verify(signed.path, KEY.public_key(), zipped)
    assert said.layer == "cv"
    assert said.subjects == {"cv.zip": hashlib.sha256(zipped.read_bytes()).hexdigest()}
    assert said.lock == hashlib.sha256((copy.root / "lockfiles/cv.lock").read_bytes()).hexdigest()
    assert opened(first, KEY.public_key()) == signed.statement.read_bytes()
    zipped.write_bytes(b"other bytes")
    with pytest.raises(BadAttestation, match=r"the attestation speaks of cv\.zip"):
        verify(signed.path, KEY.public_key(), zipped)
    with pytest.raises(BadAttestation, match="the lock of cv records"):
        attest(copy.driver(), "cv", zipped, KEY)
    with pytest.raises(UsageError, match="there is no file"):
        verify(signed.path, KEY.public_key(), zipped.with_name("nowhere.zip"))


def test_only_a_recorded_zip_is_attested(copy: Copy, zipped: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*nowhere\.zip"):
        attest(copy.driver(), "cv", zipped.with_name("nowhere.zip"), KEY)
    copy.edit(
        "lockfiles/cv.lock", lambda text: text[: text.index("[zip]")] + text[text.index("[[sources]]") :]
    )
    with pytest.raises(BadAttestation, match="records no zip"):
        attest(copy.driver(), "cv", zipped, KEY)


def test_the_verbs(copy: Copy, zipped: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "key.pem").write_bytes(private_pem(KEY, b"secret"))
    (keys / "key.pub").write_bytes(public_pem(KEY))
    (keys / "other.pub").write_bytes(public_pem(OTHER))
    key = str(keys / "key.pem")
    failed = copy.run("attest", "cv", "--key", key)
    assert (failed.returncode, failed.stdout) == (29, "")
    assert "needs a password" in failed.stderr
    done = copy.run("attest", "cv", "--key", key, LAYERLOCK_KEY_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dist/cv.intoto.dsse.json\n  cv.zip ")
    verifying = ("verify-attestation", "dist/cv.intoto.dsse.json", "--zip", "dist/cv.zip", "--key")
    good = copy.run(*verifying, str(keys / "key.pub"))
    assert good.returncode == 0, good.stderr
    assert "  layer cv, lock " in good.stdout
    told = json.loads(copy.run("--json", *verifying, str(keys / "key.pub")).stdout)
    assert told["subjects"]["cv.zip"] == hashlib.sha256(zipped.read_bytes()).hexdigest()
    wrong = copy.run(*verifying, str(keys / "other.pub"))
    assert (wrong.returncode, wrong.stdout) == (29, "")
    assert "no signature is by this key" in wrong.stderr
    missing = copy.run(*verifying, str(keys / "no.pub"))
    assert (missing.returncode, missing.stdout) == (2, "")
