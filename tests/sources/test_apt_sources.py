"""Where apt looks, in both of its formats."""

from __future__ import annotations

from pathlib import Path

from layerlock.sources.apt_sources import AptSource, mirrors, read_apt_sources


def write(root: Path, name: str, text: str) -> None:
    path = root / "etc/apt" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_host_without_apt_has_no_sources(tmp_path: Path) -> None:
    assert read_apt_sources(tmp_path) == ()
    assert mirrors((), "debian") == ()


def test_one_line_entries(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sources.list",
        "# a comment\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one/debian bullseye main contrib # more\n"
        "deb-src http://one/debian bullseye main\n"
        "deb cdrom:[Debian]/ bullseye main\n"
        "deb http://flat/repository ./\n",
    )
    assert read_apt_sources(tmp_path) == (
        AptSource(address="http://one/debian", suites=("bullseye",), components=("main", "contrib")),
        AptSource(address="http://flat/repository", suites=("./",), components=()),
    )


def test_deb822_entries(tmp_path: Path) -> None:
    write(
        tmp_path,
        "sources.list.d/debian.sources",
        "Types: deb deb-src\n# in between\nURIs: http://one/debian\n http://two/debian\nSuites: bookworm\n"
        " bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: http://off/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"
        "Types: deb-src\nURIs: http://src/debian\nSuites: bookworm\nComponents: main\n",
    )
    suites = ("bookworm", "bookworm-updates")
    assert read_apt_sources(tmp_path) == (
        AptSource(address="http://one/debian", suites=suites, components=("main",)),
        AptSource(address="http://two/debian", suites=suites, components=("main",)),
    )


def test_lists_of_mirrors_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path, "mirrors/debian.list", "# mirrors\nhttps://one/debian\thpriority:1\nfile:/srv/debian\n")
    write(tmp_path, "sources.list", "deb mirror+file:///etc/apt/mirrors/debian.list bookworm main\n")
    assert mirrors(read_apt_sources(tmp_path), "debian") == ("https://one/debian",)


def test_an_archive_is_known_by_its_name_or_by_what_it_offers() -> None:
    def source(address: str, suite: str, *components: str) -> AptSource:
        return AptSource(address=address, suites=(suite,), components=components or ("main",))

    sources = (
        source("https://vendor/apt", "nodistro"),
        source("https://proxy/remote-cache", "bullseye"),
        source("https://proxy/security-cache/", "bullseye-security"),
        source("https://one/debian/", "bookworm"),
        source("https://one/debian-security", "bookworm-security"),
        source("https://two/debian-backports", "bullseye"),
        source("https://three/ubuntu", "stable"),
        source("https://four/extra", "bullseye", "contrib"),
    )
    assert mirrors(sources, "debian") == ("https://one/debian", "https://proxy/remote-cache")
    assert mirrors(sources, "debian-security") == (
        "https://one/debian-security",
        "https://proxy/security-cache",
    )
    assert mirrors(sources, "debian-ports") == ()
