"""Completion, asked of the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.cli.verbs import VERBS
from tests.cli.conftest import Run, variables
from tests.required import without

LAYER = '[layer]\nname = "{name}"\n'

Ask = Callable[..., list[str]]


@pytest.fixture
def recipes(repository: Path) -> Path:
    """Give a repository with two layers and two packages, one of which has pins beside it; and files."""
    for name in ("small", "smart"):
        (repository / "recipes" / "layers" / f"{name}.toml").write_text(LAYER.format(name=name))
    (repository / "recipes" / "packages" / "library.wheels.toml").write_text("")
    (repository / "out").mkdir()
    (repository / "out.zip").touch()
    return repository


@pytest.fixture(params=["bash", "zsh", "fish"])
def ask(request: pytest.FixtureRequest, layerlock: Run, recipes: Path, home: Path, tmp_path: Path) -> Ask:
    """Give a function that has a shell complete a line, and gives the words that it offers."""
    name: str = request.param
    program = shutil.which(name)
    if program is None:
        without(name, f"{name} is not installed")
    done = layerlock("completion", name)
    assert done.returncode == 0, done.stderr
    script = tmp_path / f"completion.{name}"
    script.write_text(done.stdout)

    def run(line: str, cwd: Path = recipes) -> list[str]:
        if name == "zsh":
            return zsh(program, script, line, cwd, home)
        command = {"bash": BASH, "fish": 'source $argv[1]; complete -C "$argv[2]"'}[name]
        words = [program, "-c", command, *(["bash"] if name == "bash" else []), str(script), line]
        said = subprocess.run(
            words, cwd=cwd, env=variables(home, {}), capture_output=True, text=True, timeout=60, check=False
        )
        assert (said.returncode, said.stderr) == (0, ""), said.stderr
        offered = [row.partition("\t")[0] for row in said.stdout.splitlines()]
        return sorted(word.rstrip("/") for word in offered)

    return run


# What readline does: the words of the line, cut at `=` too, and the one that the cursor stands in.
BASH = r"""
source "$1"
read -ra COMP_WORDS <<< "${2//=/ = }"
[[ $2 == *' ' || $2 == *= ]] && COMP_WORDS+=("")
[[ $2 == *= ]] && unset 'COMP_WORDS[-1]'
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
compopt() { :; }  # it wants a real completion around it
$(complete -p layerlock | sed 's/.*-F \([^ ]*\) .*/\1/')
((${#COMPREPLY[@]})) && printf '%s\n' "${COMPREPLY[@]}"
:
"""

# Lists what would be inserted, and nothing else.
ZSH = r"""
autoload -Uz compinit && compinit -D -u
PS1= ; unsetopt prompt_cr zle_bracketed_paste 2>/dev/null
source {script}
zle_bracketed_paste=()
compadd() {{
  local -a kept
  if [[ ${{@[(I)-(O|A|D)]}} -gt 0 ]]; then builtin compadd "$@"; return; fi
  builtin compadd -A kept "$@"
  print -rl -- "<<"${{^kept}}">>" >> {out}
  builtin compadd "$@"
}}
zle -C offers complete-word complete-all
complete-all() {{ _main_complete; compstate[insert]=; compstate[list]=; print -r -- END >> {out} }}
bindkey '^X' offers
print -r -- READY >> {out}
"""


def zsh(program: str, script: Path, line: str, cwd: Path, home: Path) -> list[str]:
    """Type a line into a real zsh, press a key that completes, and give what it offers."""
    out = home / "offers"
    out.write_text("")
    start = home / "start.zsh"
    start.write_text(ZSH.format(script=script, out=out))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [program, "-f", "-i"],
        cwd=cwd,
        env=variables(home, {"TERM": "dumb"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""

    def until(word: str) -> None:
        nonlocal shown
        end = time.monotonic() + 30
        while word not in out.read_text():
            if select.select([ours], [], [], 0.02)[0]:
                shown += os.read(ours, 65536)
            assert time.monotonic() < end, shown.decode(errors="replace")

    try:
        os.write(ours, f"source {start}\n".encode())
        until("READY")
        time.sleep(0.1)
        os.write(ours, line.encode() + b"\x18")
        until("END")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return sorted({word.rstrip("/") for word in re.findall("<<(.*?)>>", out.read_text()) if word})


def test_verbs(ask: Ask) -> None:
    assert ask("layerlock buil") == ["build"]
    assert set(VERBS) <= set(ask("layerlock "))
    assert ask("layerlock --json sh") == ["shell", "show", "shrink"]
    assert ask("layerlock --repo . recor") == ["record"]


def test_names_of_recipes(ask: Ask, recipes: Path) -> None:
    assert ask("layerlock build sm") == ["small", "smart"]
    assert ask("layerlock build ") == ["library", "program", "small", "smart"]
    assert ask("layerlock build --jobs 2 small pro") == ["program"]
    assert ask("layerlock lock ") == ["small", "smart"]
    assert ask("layerlock resolve ") == ["library", "program"]
    assert ask("layerlock build li", cwd=recipes / "recipes" / "layers") == ["library"]


def test_a_repository_that_is_named(ask: Ask, recipes: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert ask("layerlock lock ", cwd=elsewhere) == []
    assert ask(f"layerlock --repo {recipes} lock ", cwd=elsewhere) == ["small", "smart"]
    assert ask(f"layerlock lock --repo {recipes} sma", cwd=elsewhere) == ["small", "smart"]


def test_options_and_their_values(ask: Ask) -> None:
    assert ask("layerlock build --kee") == ["--keep-failed"]
    assert {"--jobs", "--offline", "--repo", "--help"} <= set(ask("layerlock build --"))
    assert ask("layerlock build --sandbox ") == ["auto", "bwrap", "docker"]
    assert ask("layerlock graph --format d") == ["dot"]
    assert ask("layerlock completion ") == ["bash", "fish", "zsh"]
    assert ask("layerlock cache pu") == ["pull", "push"]


def test_places_on_the_disk(ask: Ask) -> None:
    assert ask("layerlock build --out o") == ["out"]
    assert ask("layerlock hash ou") == ["out", "out.zip"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_free_of_mistakes(layerlock: Run, shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        without(shell, f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(layerlock("completion", shell).stdout)
    checked = subprocess.run(
        [program, "-n", str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_at_the_tab_key(layerlock: Run, recipes: Path, home: Path) -> None:
    program = shutil.which("bash")
    if program is None:
        without("bash", "bash is not installed")
    script = home / "completion"
    script.write_text(layerlock("completion", "bash").stdout)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [program, "--norc", "--noprofile", "-i"],
        cwd=recipes,
        env=variables(home, {"TERM": "dumb"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    # A function in place of the command shows what the line was completed to.
    os.write(ours, f"source {script}; layerlock() {{ printf '<<%s>>' \"$*\"; exit; }}\n".encode())
    os.write(ours, b"layerlock bui\tlib\t--sandbox=bw\t\n")
    shown = b""
    end = time.monotonic() + 30
    while b"<<build" not in shown and time.monotonic() < end:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
    process.kill()
    process.wait()
    os.close(ours)
    assert b"<<build library --sandbox=bwrap" in shown
