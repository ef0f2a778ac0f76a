"""Plans of roots, and the arguments that bubblewrap gets for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.sandbox.bwrap import options, plan_of
from layerlock.sandbox.identity import identity
from layerlock.sandbox.skeleton import Step, skeleton
from layerlock.sandbox.spec import Limits, Mount, SandboxSpec

GOLDEN = Path(__file__).parent / "bwrap.golden"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An environment's tree in small."""
    root = tmp_path / "root"
    for folder in (
        "usr/bin",
        "usr/lib64",
        "var/lib",
        "var/log",
        "etc/alternatives",
        "dev",
        "sys",
        "tmp",
        "opt",
    ):
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "lib64").symlink_to("usr/lib64")
    (root / "usr/bin/sh").write_text("")
    (root / "etc/hosts").symlink_to("/somewhere/else")
    (root / "etc/profile").write_text("")
    return root


def test_what_the_tree_has_is_bound_whole_and_only_the_way_to_new_targets_is_made(tree: Path) -> None:
    plan = skeleton(tree, [("/var/lang", True), ("/opt", True)], ["/etc/hosts"])
    assert plan.steps == (
        Step(kind="link", path="/bin", source="usr/bin"),
        Step(kind="folder", path="/etc"),
        Step(kind="bind", path="/etc/alternatives", source=str(tree / "etc/alternatives")),
        Step(kind="bind", path="/etc/profile", source=str(tree / "etc/profile")),
        Step(kind="link", path="/lib64", source="usr/lib64"),
        Step(kind="bind", path="/opt", source=str(tree / "opt")),
        Step(kind="bind", path="/usr", source=str(tree / "usr")),
        Step(kind="folder", path="/var"),
        Step(kind="bind", path="/var/lib", source=str(tree / "var/lib")),
        Step(kind="bind", path="/var/log", source=str(tree / "var/log")),
    )


def test_targets_behind_links_are_found(tree: Path) -> None:
    assert skeleton(tree, [("/lib64/new", True)], []).targets == {"/lib64/new": "/usr/lib64/new"}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["opt"], "plain absolute path"),
        (["/"], "plain absolute path"),
        (["/a/../b"], "plain absolute path"),
        (["/a/"], "plain absolute path"),
        (["/deps", "/deps/x"], "nest"),
        (["/lib64/x", "/usr/lib64/x"], "nest"),
        (["/tmp/x"], "a place that the sandbox makes"),
        (["/usr/bin/sh/x"], "is a file"),
    ],
)
def test_targets_that_cannot_be(tree: Path, targets: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        skeleton(tree, [(target, True) for target in targets], [])


def test_links_that_go_round_are_refused(tree: Path) -> None:
    (tree / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match="too many links"):
        skeleton(tree, [("/loop/x", True)], [])


def _spec(tree: Path, *, shared_memory: bool = True, interactive: bool = False) -> SandboxSpec:
    guest = tree.parent / "guest"
    guest.mkdir(exist_ok=True)
    return SandboxSpec(
        root=tree,
        argv=("/bin/sh", "-c", "true"),
        variables={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        cwd="/build",
        limits=Limits(memory=1 << 30, processes=64, seconds=60, log_bytes=1 << 20, output_bytes=1 << 20),
        mounts=(Mount(source=guest, target="/layerlock/guest"), Mount(source=guest, target="/var/lang")),
        build=tree.parent / "b",
        out=tree.parent / "o",
        tmp=tree.parent / "t",
        shared_memory=shared_memory,
        interactive=interactive,
    )


def _words(spec: SandboxSpec) -> list[str]:
    files = {path: 10 + index for index, (path, _) in enumerate(identity(spec.uid, spec.gid))}
    return options(spec, plan_of(spec), files)


def test_arguments_are_the_golden_ones(tree: Path) -> None:
    lines = [word.replace(str(tree.parent), "HOST") for word in _words(_spec(tree))]
    text = "\n".join(lines).replace("\n--", "\x00--").replace("\n", " ").replace("\x00", "\n") + "\n"
    if not GOLDEN.exists():
        GOLDEN.write_text(text)
        pytest.fail(f"{GOLDEN.name} was written anew: read it, and run the test once more")
    assert text == GOLDEN.read_text(), f"if this was meant, remove {GOLDEN} and run the test again"


def test_without_shared_memory_the_devices_are_made_one_by_one(tree: Path) -> None:
    words = _words(_spec(tree, shared_memory=False))
    assert "--dev" not in words
    assert "/dev/shm" not in words
    assert words[words.index("--dev-bind") + 1] == "/dev/full"


def test_only_an_interactive_run_keeps_the_session(tree: Path) -> None:
    assert "--new-session" in _words(_spec(tree))
    assert "--new-session" not in _words(_spec(tree, interactive=True))
