"""Builds on an older processor: every way to start a dynamic program leads under the emulator, and back out."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from layerlock.errors import UnsafeArchive
from layerlock.reproduce.variations.catalogue import availability
from layerlock.reproduce.variations.emulator import pinned, take_out
from layerlock.reproduce.variations.host import Host
from layerlock.reproduce.variations.machine import MODEL
from layerlock.workflows.building import build_package
from layerlock.workflows.checking import Asked, Check, check
from tests.build.conftest import Bench
from tests.check.conftest import HIDDEN, TELLTALES, Telltale

needed = pytest.mark.skipif(platform.machine() != "x86_64", reason="the emulator is pinned for x86_64 alone")

# A program that asks the processor, and every way to start it. The one that is linked statically is out of reach.
ASK = r"""
cat > ask.c <<'END'
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **arguments) {
    unsigned name[13] = {0};
    for (int i = 0; i < 3; i++) __cpuid(0x80000002 + i, name[4 * i], name[4 * i + 1], name[4 * i + 2], name[4 * i + 3]);
    printf("%s: %s, avx2 %d, ssse3 %d\n", arguments[1], (char *)name, !!__builtin_cpu_supports("avx2"),
           !!__builtin_cpu_supports("ssse3"));
    (void)count, fflush(stdout);
    return !strcmp(arguments[1], "still") && execv(arguments[2], arguments + 2);
}
END
gcc -O1 -o ask ask.c
gcc -O1 -static -o still ask.c
"""
WAYS = (
    ASK
    + r"""
{ ./ask shell
  /lib64/ld-linux-x86-64.so.2 ./ask loader
  printf '#!%s/ask script\n' "$PWD" > script; chmod +x script; ./script
  env ./ask env; echo xargs | xargs ./ask; find ask -exec ./ask find ';'
  printf 'a:\n\t@./ask make\nb:\n\t@echo; ./ask make-shell\nc:\n\t@./plain\n' > Makefile
  printf './ask plain\n' > plain; chmod +x plain
  make -s a b c
  python3.9 -c 'import os, subprocess
for start in (os.system, lambda text: subprocess.run(text.split(), check=True),
              lambda text: os.waitpid(os.posix_spawn("./ask", text.split(), os.environ), 0),
              lambda text: print(os.popen(text).read(), end="", flush=True),
              lambda text: os.spawnlp(os.P_WAIT, "./ask", *text.split())):
    start("./ask python")
for name in ("nothing", "ask.c", "/usr/bin"):
    for start in (os.posix_spawn, os.posix_spawnp, os.execv):
        try:
            start(name, [name], *([os.environ] if start is not os.execv else []))
        except OSError as error:
            print(start.__name__, name, error.strerror, flush=True)'
  perl -e 'system("./ask perl"); print `./ask perl-shell`; exec "./ask", "perl-exec"'
  awk 'BEGIN { system("./ask awk"); "./ask awk-pipe" | getline line; print line }'
  ./still still ./ask after-still
  gcc -march=native -Q --help=target | grep -E ' -(march=|mavx2) '
  { sh -c 'kill -9 $$'; } 2> /dev/null || echo "killed $?"; sh -c 'echo "[$*] $#"' '' a '' 'b c'; } > told 2>&1
"""
)


def checked(bench: Bench, name: str, asked: Asked) -> Check:
    """Check, with the environment of this process."""
    bench.events.clear()
    return check(bench.driver(), name, asked, dict(os.environ))


@needed
@pytest.mark.sandbox
@pytest.mark.timeout(900)
def test_every_way_to_start_a_program_leads_under_the_emulator(bench: Bench, telltale: Telltale) -> None:
    """What a program is told of the processor differs, however it was started; all else is as without."""
    telltale.write(
        {
            "ways": f"{WAYS}sed -E 's/: .*ssse3 .$/: asked/; /-m(arch|avx2)/d' told > /out/same; mv told /out/told",
            "hidden": HIDDEN,
            **{name: TELLTALES[name] for name in ("jobs", "processor", "kernel", "clock", "directory-order")},
        }
    )
    names = ("ways", "hidden", "jobs", "processor", "kernel", "clock", "directory-order")
    build_package(bench.driver(), "all-of-them")
    build_package(bench.driver(), "tiny-c")
    found = checked(bench, "all-of-them", Asked(variations=("instructions",), derivations=names))
    verdicts = {judged.standing.name: (judged.verdict, judged.reason) for judged in found.derivations}
    assert {name for name, (verdict, _) in verdicts.items() if verdict == "mismatch"} == {"ways"}, verdicts
    assert {verdict for verdict, _ in verdicts.values()} == {"match", "mismatch"}, verdicts
    ways = next(judged for judged in found.derivations if judged.standing.name == "ways")
    assert ways.causes == (("instructions",),)

    kept = found.kept["ways"]
    assert kept.stored is not None
    assert (kept.rebuilt / "same").read_text() == (kept.stored / "same").read_text()
    told = (kept.rebuilt / "told").read_text().splitlines()
    asked = {line.split(":")[0]: line for line in told if ": " in line and "ssse3" in line}
    assert len(asked) == 17, asked  # each way once, but for those of Python, which share a name
    assert MODEL not in asked.pop("still"), "a static program is out of reach, as documented"
    assert {line.split(": ")[1] for line in asked.values()} == {f"{MODEL}, avx2 0, ssse3 1"}
    assert [line.split()[1] for line in told if line.split()[:1] == ["-march="]] == ["core2"]
    assert MODEL not in (kept.stored / "told").read_text()

    found = checked(bench, "tiny-c", Asked(variations=("instructions",), derivations=("tiny-c",)))
    assert [(judged.verdict, judged.reason) for judged in found.derivations] == [("match", "")]


@needed
@pytest.mark.long  # by itself it is tried above, and that a check leaves it out by itself in test_check.py
@pytest.mark.sandbox
@pytest.mark.timeout(900)
def test_beside_other_variations(bench: Bench, telltale: Telltale) -> None:
    """With clock and order of directories it comes out of the same library, and the driver is not emulated."""
    telltale.write({"asked": f"{ASK}./ask it > /out/told", "sound": HIDDEN})
    build_package(bench.driver(), "all-of-them")
    together = (
        ("clock", "directory-order", "instructions", "user")
        if os.geteuid() == 0
        else ("clock", "instructions")
    )
    found = checked(
        bench, "all-of-them", Asked(variations=together, bisect=False, derivations=("asked", "sound"))
    )
    assert [judged.verdict for judged in found.derivations] == ["mismatch", "match"], found.derivations
    assert all(attempt.missing == () for judged in found.derivations for attempt in judged.attempts)


def host(machine: str, sandbox: str = "") -> Host:
    """Give a host."""
    return Host(
        root=True,
        processors=2,
        machine=machine,
        sandbox=sandbox,
        python="",
        python_obstacle="",
        user_python="",
        user_other_python="",
        user_obstacle="",
    )


def test_where_it_cannot_be_had() -> None:
    """Machines without a pin and containers are obstacles of this variation."""
    told = [
        next(each.obstacle for each in availability(one) if each.name == "instructions")
        for one in (host("x86_64"), host("aarch64"), host("x86_64", "docker"))
    ]
    assert told[0] == ""
    assert "no emulator is pinned for aarch64" in told[1]
    assert "docker" in told[2]


def test_a_package_without_the_program_is_refused(tmp_path: Path) -> None:
    """Neither a file that is no package nor one that ends early leaves an emulator."""
    pin = pinned("x86_64")
    assert pin is not None
    package = tmp_path / "package.deb"
    for data in (b"no package", b"!<arch>\n"):
        package.write_bytes(data)
        with pytest.raises(UnsafeArchive, match=r"package\.deb"):
            take_out(pin, package, tmp_path / "emulator")
    assert not (tmp_path / "emulator").exists()
