"""What build scripts and their variables do that a reproducible build must not, found by reading them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.errors import Location
from layerlock.model.findings import Finding, Severity
from layerlock.model.recipe import PackageRecipe, ScriptBuild

_START: Final = r"(?:^|[;&|({`!]|\b(?:then|do|else|exec|sudo|env|time)\b)\s*(?:[A-Za-z_]\w*=\S*\s+)*"
"""Where a command may begin: at the start, after an operator or a keyword, and after assignments before it."""

_FETCHES: Final = re.compile(
    _START + r"(?:curl|wget|aria2c|rsync|scp|svn|hg|apt|apt-get|npm|yarn|cargo|go\s+get"
    r"|git\s+(?:-\S+\s+(?:\S+=\S*\s+)?)*(?:clone|fetch|pull|submodule)"
    r"|(?:python3?(?:\.\d+)?\s+(?:-\S\s+)*-m\s+)?pip3?\s+(?:install|download|wheel)(?![^;&|]*--no-index))(?=[\s;&|)`]|$)",
    re.MULTILINE,
)
_PIPED: Final = re.compile(
    r"\b(?:curl|wget)\b[^;&\n]*\|\s*(?:sudo\s+)?(?:/\S*/)?(?:ba|da|z|k)?sh\b|\b(?:ba)?sh\s+<\(\s*(?:curl|wget)\b"
)
_PROCESSOR: Final = re.compile(
    r"/proc/cpuinfo|/sys/devices/system/cpu|" + _START + r"lscpu(?=[\s;&|)`]|$)", re.MULTILINE
)
_NATIVE: Final = re.compile(r"-m(?:arch|cpu|tune)=native\b|\btarget-cpu=native\b|-x[Hh]ost\b")
_JOBS: Final = re.compile(_START + r"\$?\(?nproc\b|\$\(\s*nproc\b|`nproc\b", re.MULTILINE)
_SWALLOWS: Final = re.compile(
    r"\|\|\s*(?:true|:|/bin/true|exit\s+0|echo\b[^\n;&|]*)\s*(?=$|[;)}#])"
    r"|(?:^|[;&])\s*set\s+\+(?:e\b|o\s+(?:errexit|pipefail)\b)|(?:^|[;&])\s*trap\s+(?:''|\"\"|:|true)\s+ERR\b"
    r"|\bmake\b[^\n;&|]*\s(?:-i|-k|--ignore-errors|--keep-going)\b",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a build's script or variables: what it says without comments, and where it stands."""

    recipe: PackageRecipe
    text: str
    location: Location


def lines_of(subject: Subject, recipe: PackageRecipe) -> Iterator[Line]:
    """Give the lines of a package's script, joined where a backslash ends them, and its variables."""
    build = recipe.build
    if not isinstance(build, ScriptBuild):
        return
    place = _script(subject, recipe)
    first, quoted = place.line, "\n" in build.script
    held, held_at = "", 0
    for number, line in enumerate(build.script.split("\n")):
        if not held:
            held_at = number
        held += without_comment(line)
        if line.endswith("\\"):
            held = held[:-1] + " "
            continue
        if held.strip():
            # The text of a ''' string begins on the line below its key.
            at = first + held_at + (1 if quoted else 0) if first is not None else None
            yield Line(
                recipe=recipe, text=held, location=Location(file=place.file, line=at, path="build.script")
            )
        held = ""
    for name, value in build.variables.items():
        where = subject.repository.locate("packages", recipe.name, f"build.variables.{name}")
        yield Line(recipe=recipe, text=f"{name}={value}", location=where)


def _script(subject: Subject, recipe: PackageRecipe) -> Location:
    """Find the key of a script, in the recipe or in the one that it is based on."""
    name: str | None = recipe.name
    while name is not None:
        place = subject.repository.locate("packages", name, "build.script")
        lines = (subject.repository.root / place.file).read_text(encoding="utf-8").split("\n")
        if place.line is not None and lines[place.line - 1].lstrip().startswith("script"):
            return place
        name = subject.repository.package(name).package.base
    return Location(file=subject.repository.recipe_file("packages", recipe.name), path="build.script")


def without_comment(line: str) -> str:
    """Drop a comment from a line of shell: `#` at a word's beginning, outside of quotes."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (index == 0 or line[index - 1] in " \t;&|("):
            return line[:index]
    return line


def _check(
    name: str, severity: Severity, pattern: re.Pattern[str], *, said: str, hint: str, explanation: str
) -> Check:
    """Make a check of a pattern that no line of a script may match."""

    def run(subject: Subject) -> Iterator[Finding]:
        for recipe in subject.closure.packages:
            for line in lines_of(subject, recipe):
                found = pattern.search(line.text)
                if found is not None:
                    shown = found[0].strip(" \t\n;&|(")
                    yield check.found(
                        recipe.name,
                        f"the build of {recipe.name} {said}: {shown}",
                        hint=hint,
                        location=line.location,
                    )

    check = Check(
        name=name, area="lint", needs="nothing", severity=severity, explanation=explanation, run=run
    )
    return check


CHECKS = (
    _check(
        "script-fetches",
        Severity.ERROR,
        _FETCHES,
        said="fetches something",
        hint="state it as a source, with its hash",
        explanation="A build has no network. A command that fetches fails in the sandbox, or worse: its failure is "
        "handled, and the build silently lacks what it would have fetched.",
    ),
    _check(
        "pipe-to-shell",
        Severity.ERROR,
        _PIPED,
        said="runs what it fetches, unseen",
        hint="state the script as a source with its hash, read it, and run it from there",
        explanation="`curl ... | sh` runs whatever a server sends at that moment. Nothing of it can be pinned or read.",
    ),
    _check(
        "reads-processor",
        Severity.ERROR,
        _PROCESSOR,
        said="looks at the machine's processor",
        hint="state what to compile for, as OpenCV's CPU_BASELINE does",
        explanation="What a build finds out of the machine that it runs on gets into its output, which then differs "
        "from machine to machine, and may not run on Lambda's.",
    ),
    _check(
        "native-code",
        Severity.ERROR,
        _NATIVE,
        said="compiles for the machine that it runs on",
        hint="name the processor: -march=x86-64-v3, or leave it at the compiler's default",
        explanation="-march=native and its like compile for the processor of the build machine. On another one the "
        "layer ends with an illegal instruction.",
    ),
    _check(
        "counts-processors",
        Severity.WARNING,
        _JOBS,
        said="counts the machine's processors",
        hint='use "$LAYERLOCK_JOBS"',
        explanation="$LAYERLOCK_JOBS says how many processes a build may run; builds run beside each other, and one "
        "that counts for itself takes more than its part.",
    ),
    _check(
        "swallows-failures",
        Severity.WARNING,
        _SWALLOWS,
        said="goes on after a failure",
        hint="let it fail, or test for the one case that is meant",
        explanation="`|| true`, `set +e` and `make -k` turn a failure into a success. The next one, which nobody "
        "expected, is then not seen, and its result is shipped.",
    ),
)
