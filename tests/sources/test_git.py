"""Checkouts from a real git server: what arrives, and what a hostile repository cannot do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, UnsafeArchive
from layerlock.io.nar import nar_sha256
from layerlock.sources.git import check_tag, checkout, empty_folder, on_branch, remote_refs
from layerlock.sources.git_program import GitProgram
from tests.sources.conftest import Served
from tests.sources.repositories import git, git_over_https, new_repository


def tree_of(program: GitProgram, url: str, commit: str, scratch: Path, *, submodules: bool = True) -> Path:
    return checkout(program, (url,), commit, scratch=scratch, name="pkg/src", with_submodules=submodules)


def names(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))


def test_a_checkout_keeps_execute_bits_links_and_bytes(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    repository = new_repository(served.folder, "a")
    (repository.work / "link").symlink_to("sub/run")
    (repository.work / "dangling").symlink_to("/nowhere/at/all")
    repository.commit({"sub/run": "#!/bin/sh\n", "data": "one\r\ntwo\n"})
    (repository.work / "sub/run").chmod(0o755)
    commit = repository.commit({})
    tree = tree_of(program, f"{served.url}/a.git", commit, scratch)
    assert names(tree) == ["dangling", "data", "link", "sub", "sub/run"]
    assert (tree / "link").readlink() == Path("sub/run")
    assert (tree / "dangling").readlink() == Path("/nowhere/at/all")
    assert os.access(tree / "sub/run", os.X_OK)
    assert not (tree / "data").stat().st_mode & 0o111
    assert (tree / "data").read_bytes() == b"one\r\ntwo\n"


def test_nested_submodules_with_relative_addresses(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    inner = new_repository(served.folder, "deps/inner")
    inner_commit = inner.commit({"inner.txt": "inner\n"})
    middle = new_repository(served.folder, "deps/middle")
    middle.commit({"middle.txt": "middle\n"})
    middle.submodule("third/inner", "../inner.git", inner_commit, name="a.name with.dots")
    middle_commit = middle.record()
    outer = new_repository(served.folder, "outer")
    outer.commit({"outer.txt": "outer\n"})
    outer.submodule("vendor/middle", "../deps/middle.git", middle_commit)
    commit = outer.record()
    url = f"{served.url}/outer.git"
    tree = tree_of(program, url, commit, scratch)
    assert (tree / "vendor/middle/third/inner/inner.txt").read_text(encoding="utf-8") == "inner\n"
    assert not [name for name in names(tree) if Path(name).name == ".git"]
    # The same tree by git's own recursive clone.
    clone = scratch / "clone"
    git(
        "-c",
        "protocol.git.allow=always",
        "clone",
        "--quiet",
        "--recurse-submodules",
        url,
        str(clone),
        cwd=scratch,
    )
    for found in list(clone.rglob(".git")):
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    assert nar_sha256(tree) == nar_sha256(clone)


def test_the_tree_hash_is_that_of_nix(served: Served, program: GitProgram, scratch: Path) -> None:
    nix = shutil.which("nix")
    if nix is None:
        pytest.skip("nix is not installed")
    repository = new_repository(served.folder, "a")
    commit = repository.commit({"x/y": "z\n", "run": "#!/bin/sh\n"})
    tree = tree_of(program, f"{served.url}/a.git", commit, scratch)
    said = subprocess.run(
        [nix, "--extra-experimental-features", "nix-command", "hash", "path", str(tree)],
        env={"PATH": os.environ["PATH"], "HOME": str(scratch), "NIX_STATE_DIR": str(scratch / "nix")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.stdout.strip() == nar_sha256(tree)


def test_submodules_can_be_left_out(served: Served, program: GitProgram, scratch: Path) -> None:
    outer = new_repository(served.folder, "outer")
    outer.commit({"outer.txt": "outer\n"})
    outer.submodule("vendor/x", "../nowhere.git", "1" * 40)
    commit = outer.record()
    tree = tree_of(program, f"{served.url}/outer.git", commit, scratch, submodules=False)
    assert names(tree) == [".gitmodules", "outer.txt", "vendor", "vendor/x"]


def test_line_ends_are_the_repositorys_whatever_the_host_is_set_to(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    repository = new_repository(served.folder, "a")
    commit = repository.commit(
        {".gitattributes": "*.txt text=auto\n*.bat text eol=crlf\n", "a.txt": "1\n2\n", "b.bat": "1\n2\n"}
    )
    hostile = scratch / "home"
    hostile.mkdir()
    (hostile / ".gitconfig").write_text("[core]\n\tautocrlf = true\n\teol = crlf\n", encoding="utf-8")
    given = replace(
        program,
        variables={
            **program.variables,
            "HOME": str(hostile),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.autocrlf",
            "GIT_CONFIG_VALUE_0": "true",
        },
    )
    tree = tree_of(given, f"{served.url}/a.git", commit, scratch)
    assert (tree / "a.txt").read_bytes() == b"1\n2\n"
    # What the repository itself asks for, every clone has.
    assert (tree / "b.bat").read_bytes() == b"1\r\n2\r\n"


def test_filters_and_hooks_do_not_run(served: Served, program: GitProgram, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    commit = repository.commit({".gitattributes": "* filter=lfs diff=lfs merge=lfs\n", "big": "version 1\n"})
    ran = scratch / "ran"
    home = scratch / "home"
    (home / ".config/git").mkdir(parents=True)
    (home / ".gitconfig").write_text(
        f'[filter "lfs"]\n\tsmudge = touch {ran}; cat\n\trequired = true\n[core]\n\thooksPath = {home}/hooks\n'
        f"[init]\n\ttemplateDir = {home}/template\n",
        encoding="utf-8",
    )
    for folder in (home / "hooks", home / "template/hooks"):
        folder.mkdir(parents=True)
        (folder / "post-checkout").write_text(f"#!/bin/sh\ntouch {ran}\n", encoding="utf-8")
        (folder / "post-checkout").chmod(0o755)
    given = replace(
        program,
        variables={**program.variables, "HOME": str(home), "GIT_TEMPLATE_DIR": str(home / "template")},
    )
    tree = tree_of(given, f"{served.url}/a.git", commit, scratch)
    assert (tree / "big").read_bytes() == b"version 1\n"
    assert not ran.exists()


def test_a_commit_that_is_nowhere(served: Served, program: GitProgram, scratch: Path) -> None:
    new_repository(served.folder, "a").commit({"x": "y"})
    with pytest.raises(FetchError) as caught:
        tree_of(program, f"{served.url}/a.git", "2" * 40, scratch)
    assert f"no repository gave the commit {'2' * 40}" in caught.value.message
    assert f"{served.url}/a.git: " in caught.value.message


def test_the_next_address_is_tried(served: Served, program: GitProgram, scratch: Path) -> None:
    commit = new_repository(served.folder, "a").commit({"x": "y"})
    urls = (f"{served.url}/gone.git", f"{served.url}/a.git")
    tree = checkout(program, urls, commit, scratch=scratch, name="pkg/src", with_submodules=True)
    assert names(tree) == ["x"]


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/owned",
        "file:///etc",
        "http://example.org/a.git",
        "--upload-pack=touch /tmp/owned",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x/a",
        "git@-oProxyCommand:a",
        "fd::17",
        "/etc",
        "https:///etc",
        "git@host:-x",
        "https://host/a\nb",
    ],
)
def test_addresses_that_are_refused(url: str, program: GitProgram, scratch: Path) -> None:
    with pytest.raises(InvalidRecipe, match="not an address that git may fetch from"):
        tree_of(program, url, "1" * 40, scratch)
    with pytest.raises(InvalidRecipe):
        remote_refs(program, (url,), branch="main", tag=None)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% owned",
        "file:///etc",
        "--upload-pack=touch owned",
        "-u./payload",
        "http://127.0.0.1:1/x.git",
        "/etc",
        "../../../../../../x.git/../y",
        "../../../../..",
        "",
    ],
)
def test_hostile_submodule_addresses(url: str, served: Served, program: GitProgram, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    commit = repository.commit({"x": "y"})
    repository.submodule("vendor", f'"{url}"', commit)
    commit = repository.record()
    with pytest.raises(UnsafeArchive, match="asks to be fetched from"):
        tree_of(program, f"{served.url}/a.git", commit, scratch)
    assert not list(scratch.rglob("owned"))


@pytest.mark.parametrize(
    "path", ["../../x", "/etc/x", "a/../../x", ".git/hooks", "a/.GIT/x", "-x", "a//b", "./a"]
)
def test_hostile_submodule_paths(path: str, served: Served, program: GitProgram, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    repository.commit({"x": "y"})
    repository.gitmodules(f'[submodule "x"]\n\tpath = "{path}"\n\turl = ../b.git\n')
    commit = repository.record()
    with pytest.raises(UnsafeArchive, match="asks to stand at"):
        tree_of(program, f"{served.url}/a.git", commit, scratch)


def test_a_submodule_cannot_pass_through_a_link(served: Served, program: GitProgram, scratch: Path) -> None:
    """A tree with two entries `a`, a link outside and a folder with a submodule: git makes such trees by hand only."""
    outside = scratch.parent / "outside"
    outside.mkdir()
    inner = new_repository(served.folder, "inner").commit({"payload": "x"})
    repository = new_repository(served.folder, "a")
    repository.gitmodules('[submodule "x"]\n\tpath = a/b\n\turl = ../inner.git\n')
    table = git("hash-object", "-w", ".gitmodules", cwd=repository.work)
    link = git("hash-object", "-w", "--stdin", cwd=repository.work, stdin=str(outside).encode())
    below = git("mktree", "--missing", cwd=repository.work, stdin=f"160000 commit {inner}\tb\n".encode())
    entries = f"100644 blob {table}\t.gitmodules\n120000 blob {link}\ta\n040000 tree {below}\ta\n"
    top = git("mktree", cwd=repository.work, stdin=entries.encode())
    commit = git("commit-tree", "-m", "hostile", top, cwd=repository.work)
    git("push", "--quiet", str(repository.bare), f"{commit}:refs/heads/main", cwd=repository.work)
    with contextlib.suppress(UnsafeArchive, FetchError):
        tree = tree_of(program, f"{served.url}/a.git", commit, scratch)
        # This git let one of the two entries win: then it must have been the folder.
        assert not (tree / "a").is_symlink()
    assert list(outside.iterdir()) == []


def test_a_submodules_place_is_looked_at_part_by_part(tmp_path: Path) -> None:
    """What the check says of a link in a checkout, should a git ever make one."""
    outside = tmp_path / "outside"
    tree = tmp_path / "tree"
    (outside / "b").mkdir(parents=True)
    tree.mkdir()
    (tree / "a").symlink_to(outside)
    (tree / "full").mkdir()
    (tree / "full/file").touch()
    for path in ("a/b", "a", "full"):
        with pytest.raises(UnsafeArchive, match="stands"):
            empty_folder(tree, path, "pkg/src")
    assert list((outside / "b").iterdir()) == []


def test_gitmodules_that_is_a_link_is_refused(served: Served, program: GitProgram, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    (repository.work / ".gitmodules").symlink_to("/etc/passwd")
    blob = git("hash-object", "-w", "--stdin", cwd=repository.work, stdin=b"/etc/passwd")
    top = git("mktree", cwd=repository.work, stdin=f"120000 blob {blob}\t.gitmodules\n".encode())
    commit = git("commit-tree", "-m", "hostile", top, cwd=repository.work)
    git("push", "--quiet", str(repository.bare), f"{commit}:refs/heads/main", cwd=repository.work)
    with pytest.raises((UnsafeArchive, FetchError)):
        tree_of(program, f"{served.url}/a.git", commit, scratch)


def test_submodules_that_nest_without_end_are_stopped(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    commit = new_repository(served.folder, "r0").commit({"x": "y"})
    for number in range(1, 11):
        repository = new_repository(served.folder, f"r{number}")
        repository.submodule("m", f"../r{number - 1}.git", commit)
        commit = repository.record()
    with pytest.raises(UnsafeArchive, match="nest deeper than 8"):
        tree_of(program, f"{served.url}/r10.git", commit, scratch)


def test_a_submodule_without_an_entry_says_what_to_do(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    repository = new_repository(served.folder, "a")
    repository.commit({"x": "y"})
    git("update-index", "--add", "--cacheinfo", f"160000,{'3' * 40},vendor", cwd=repository.work)
    commit = repository.record()
    with pytest.raises(FetchError) as caught:
        tree_of(program, f"{served.url}/a.git", commit, scratch)
    assert "`vendor`" in caught.value.message
    assert "submodules = false" in caught.value.hint


def test_refs_and_what_they_name(served: Served, program: GitProgram, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    first = repository.commit({"x": "1"})
    repository.tag("v1", annotated=True)
    second = repository.commit({"x": "2"})
    url = f"{served.url}/a.git"
    refs = remote_refs(program, (url,), branch="main", tag="v1")
    assert (refs.branch, refs.tag) == (second, first)
    check_tag(refs, "v1", first, "pkg/src")
    assert on_branch(program, url, "main", first, scratch=scratch)
    gone = remote_refs(program, (url,), branch="other", tag="v2")
    assert (gone.branch, gone.tag) == (None, None)
    repository.tag("v1")
    with pytest.raises(HashMismatch) as caught:
        check_tag(remote_refs(program, (url,), branch=None, tag="v1"), "v1", first, "pkg/src")
    assert first in caught.value.message
    assert second in caught.value.message


def test_a_commit_of_another_branch_is_not_on_the_branch(
    served: Served, program: GitProgram, scratch: Path
) -> None:
    repository = new_repository(served.folder, "a")
    repository.commit({"x": "1"})
    other = repository.commit({"x": "2"}, branch="other")
    git("reset", "--quiet", "--hard", "HEAD~1", cwd=repository.work)
    repository.commit({"x": "3"})
    url = f"{served.url}/a.git"
    assert not on_branch(program, url, "main", other, scratch=scratch)


@pytest.mark.parametrize(
    "ref", ["--upload-pack=x", "-b", "a..b", "a b", "x.lock", "a~1", "", "@", "a/.b", "a@{1}"]
)
def test_refs_that_are_refused(ref: str, program: GitProgram) -> None:
    with pytest.raises(InvalidRecipe, match="is not the name of a branch or tag"):
        remote_refs(program, ("https://127.0.0.1:1/x",), branch=ref, tag=None)


def test_a_missing_git_says_how_to_get_it(scratch: Path, program: GitProgram) -> None:
    with pytest.raises(FetchError) as caught:
        tree_of(replace(program, program="git-that-is-not-there"), "https://host/x", "1" * 40, scratch)
    assert "not installed" in caught.value.message
    assert "apt-get install git" in caught.value.hint


def test_a_silent_server_is_given_up(scratch: Path, program: GitProgram) -> None:
    import socket  # noqa: PLC0415

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"git://127.0.0.1:{listener.getsockname()[1]}/x.git"
        with pytest.raises(FetchError, match="silent"):
            tree_of(replace(program, stall=1.0), url, "1" * 40, scratch)


def test_a_checkout_over_https(program: GitProgram, scratch: Path, tmp_path: Path) -> None:
    folder = tmp_path / "https"
    folder.mkdir()
    inner = new_repository(folder, "inner").commit({"inner.txt": "x"})
    repository = new_repository(folder, "a")
    repository.commit({"x": "y"})
    repository.submodule("vendor", "../inner.git", inner)
    commit = repository.record()
    with git_over_https(folder, tmp_path) as (url, certificate):
        trusting = replace(program, variables={**program.variables, "GIT_SSL_CAINFO": str(certificate)})
        tree = tree_of(trusting, f"{url}/a.git", commit, scratch)
        assert (tree / "vendor/inner.txt").exists()
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(FetchError, match="certificate"):
            tree_of(program, f"{url}/a.git", commit, other)
        away = tmp_path / "redirected"
        away.mkdir()
        with pytest.raises(FetchError, match=r"[Pp]rotocol"):
            tree_of(trusting, f"{url}/away/a.git", commit, away)
