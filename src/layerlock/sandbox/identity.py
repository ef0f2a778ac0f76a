"""The fixed files that name user, host and network inside every sandbox, whatever the root brings."""

from __future__ import annotations


def identity(uid: int, gid: int) -> tuple[tuple[str, bytes], ...]:
    """Give (path, contents) of the files below `/etc`, sorted by path.

    `localhost` means 127.0.0.1 alone: where a kernel has no IPv6, a second address would fail where
    elsewhere it does not.
    """
    return (
        ("/etc/group", f"root:x:0:\nbuild:x:{gid}:\nnogroup:x:65533:\n".encode()),
        ("/etc/hostname", b"localhost\n"),
        ("/etc/hosts", b"127.0.0.1 localhost\n"),
        ("/etc/passwd", f"root:x:0:0:root:/:/bin/sh\nbuild:x:{uid}:{gid}:build:/build:/bin/sh\n".encode()),
        ("/etc/resolv.conf", b""),
    )
