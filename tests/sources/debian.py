"""A Debian mirror in a folder, signed by a key of the tests."""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass, field

import pysequoia

from tests.sources.web import Web

STANZAS = """\
Package: base
Version: 1.0-1
Architecture: amd64
Depends: libone (>= 1.0), awk | gawk
Filename: pool/main/b/base/base_1.0-1_amd64.deb
Size: 4
SHA256: {}

Package: libone
Version: 2:1.0-1+b2
Multi-Arch: same
Pre-Depends: libc6
Filename: pool/main/libo/libone/libone_1.0-1+b2_amd64.deb
Size: 5
SHA256: {}

Package: libc6
Version: 2.31
Filename: pool/main/g/glibc/libc6_2.31_amd64.deb
Size: 6
SHA256: {}

Package: mawk
Version: 1.3
Provides: awk
Filename: pool/main/m/mawk/mawk_1.3_amd64.deb
Size: 7
SHA256: {}

Package: gawk
Version: 5.1
Provides: awk (= 1), other
Depends: libc6
Filename: pool/main/g/gawk/gawk_5.1_amd64.deb
Size: 8
SHA256: {}
""".format(*(hashlib.sha256(bytes([n])).hexdigest() for n in range(5)))


@dataclass
class Key:
    """A signing key, and its certificate as a keyring."""

    secret: pysequoia.Tsk = field(default_factory=lambda: pysequoia.Tsk.generate(user_id="tests"))

    @property
    def keyring(self) -> bytes:
        """The public part."""
        return bytes(self.secret.extract_certificate())

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the certificate."""
        return self.secret.extract_certificate().fingerprint

    def sign(self, text: str) -> bytes:
        """Sign as `InRelease` files are signed."""
        return pysequoia.sign(self.secret.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)


def release_text(
    listed: dict[str, bytes], *, suite: str = "oldstable", codename: str = "bullseye", more: str = ""
) -> str:
    """Write the text of an `InRelease` that lists files."""
    lines = "".join(
        f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}\n" for path, data in listed.items()
    )
    return (
        f"Origin: Tests\nSuite: {suite}\nCodename: {codename}\nDate: Sat, 09 Aug 2025 09:16:30 UTC\n{more}"
        f"Components: main\nMD5Sum:\n 00000000000000000000000000000000 1 main/binary-amd64/Packages\nSHA256:\n{lines}"
    )


def publish(web: Web, key: Key, *, stanzas: str = STANZAS, by_hash: bool = False, **release: str) -> None:
    """Put `dists/bullseye` of a mirror at `/debian`."""
    plain = stanzas.encode()
    packed = lzma.compress(plain)
    listed = {"main/binary-amd64/Packages": plain, "main/binary-amd64/Packages.xz": packed}
    if by_hash:
        release["more"] = release.get("more", "") + "Acquire-By-Hash: yes\n"
    web.put("debian/dists/bullseye/InRelease", key.sign(release_text(listed, **release)))
    folder = "debian/dists/bullseye/main/binary-amd64"
    if by_hash:
        web.put(f"{folder}/by-hash/SHA256/{hashlib.sha256(packed).hexdigest()}", packed)
    else:
        web.put(f"{folder}/Packages.xz", packed)
