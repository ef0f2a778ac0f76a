"""Images out of a registry: a real one on loopback, and servers that lie, hang or ask who is there."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, LayerlockError, Offline, UnsafeArchive
from layerlock.events import Event
from layerlock.io.answers import Patience
from layerlock.io.documents import read_record, read_table
from layerlock.io.http import Fetcher
from layerlock.model.lock import LockedFile
from layerlock.model.ports import SourceStore
from layerlock.model.recipe import AboutEnvironment, EnvironmentRecipe, PinnedImage
from layerlock.plan.images import layer_pins
from layerlock.sources.fetch import Reach, fetch
from layerlock.sources.git_program import GitProgram
from layerlock.sources.oci import confirm_image, pin_image, write_image
from layerlock.sources.oci_tokens import Permits, base_url, read_challenge, read_credentials
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from tests.io.servers import Handler, Server, serving
from tests.io.test_archives import tar_bytes
from tests.sources.images import (
    DOCKER,
    MISSING,
    OCI,
    PROGRAM,
    Image,
    Registry,
    digest,
    make_image,
    make_index,
    running_registry,
)

needs_registry = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
ONE = tar_bytes(("a", "file", 0o644, "one"))
TWO = tar_bytes(("a", "file", 0o644, "two"), ("b", "link", 0o777, "a"))
IMAGE = make_image(ONE, TWO)


def environment(image: str, system: str = "x86_64-linux") -> EnvironmentRecipe:
    about = AboutEnvironment(name="test", image=image, system=system)  # type: ignore[arg-type]
    return EnvironmentRecipe(environment=about)


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., Reach]:
    """Makes ways to registries that give up soon."""

    def make(
        *, credentials: dict[str, str] | None = None, offline: bool = False, patience: Patience | None = None
    ) -> Reach:
        origins = Origins(
            pip=PipConfiguration(indexes=()),
            apt=(),
            snapshot_address=None,
            permits=Permits(credentials or {}),
        )
        fetcher = Fetcher(patience=patience or Patience(tries=2, pause=0.01), sleep=lambda _: None)
        git = GitProgram(variables={})
        return Reach(fetcher=fetcher, origins=origins, git=git, repository=tmp_path, offline=offline)

    return make


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "store") as registry:
        yield registry


def pins(recipe: EnvironmentRecipe, pinned: PinnedImage) -> tuple[LockedFile, ...]:
    """Give an image's layers as a lock has them."""

    class Nowhere:
        def locate(self, *_: str) -> None:
            return None

    return layer_pins(replace(recipe, image=pinned), Nowhere())  # type: ignore[arg-type]


@needs_registry
@pytest.mark.parametrize("kind", [OCI, DOCKER], ids=["oci", "docker"])
@pytest.mark.parametrize("by", ["digest", "tag", "index"])
def test_an_image_is_pinned_written_confirmed_and_fetched(
    registry: Registry,
    quick: Callable[..., Reach],
    store: SourceStore,
    tmp_path: Path,
    events: list[Event],
    kind: dict[str, str],
    by: str,
) -> None:
    repository = f"deep/{kind is OCI}/{by}".lower()
    image = make_image(ONE, TWO, kind=kind)
    said = registry.push(repository, image, tag="v1.2")
    if by == "tag":
        said = f"{registry.host}/{repository}:v1.2"
    if by == "index":
        other = make_image(ONE, architecture="arm64", kind=kind)
        registry.push(repository, other)
        index = make_index((other, "arm64", "v8"), (image, "amd64", ""), kind=kind)
        said = registry.push(repository, index, tag="list")
    recipe, place = environment(said), tmp_path / "test.image.toml"
    write_image(recipe, place, quick(), events.append)
    table = {"environment": {"name": "test"}, **read_table(place, "test.image.toml")}
    pinned = read_record(EnvironmentRecipe, table, place, "test.image.toml").image
    assert pinned is not None
    assert (pinned.reference, pinned.manifest) == (said, image.digest)
    assert [layer.diff_id for layer in pinned.layers] == [digest(ONE), digest(TWO)]
    confirm_image(recipe, pinned, quick())
    for pin, tar in zip(pins(recipe, pinned), (ONE, TWO), strict=True):
        assert pin.urls == (f"oci:{registry.host}/{repository}@sha256:{pin.sha256}",)
        data = fetch(pin, store, quick(), events.append).read_bytes()
        assert hashlib.sha256(data).hexdigest() == pin.sha256
        assert data == image.blobs[f"sha256:{pin.sha256}"]
        assert tar


@needs_registry
def test_the_manifest_of_the_environments_system_is_taken(
    registry: Registry, quick: Callable[..., Reach]
) -> None:
    arm, intel = make_image(ONE, architecture="arm64"), make_image(TWO)
    old = make_image(ONE, TWO, architecture="arm64")
    for image in (arm, intel, old):
        registry.push("both", image)
    index = registry.push(
        "both", make_index((intel, "amd64", ""), (old, "arm64", "v7"), (arm, "arm64", "v8"))
    )
    assert pin_image(environment(index, "aarch64-linux"), quick(), lambda _: None).manifest == arm.digest
    assert pin_image(environment(index), quick(), lambda _: None).manifest == intel.digest


@needs_registry
def test_another_architecture_is_an_error(registry: Registry, quick: Callable[..., Reach]) -> None:
    arm = make_image(ONE, architecture="arm64")
    alone = registry.push("arm", arm)
    with pytest.raises(
        InvalidRecipe, match="is an image for linux/arm64, and the environment is for x86_64-linux"
    ):
        pin_image(environment(alone), quick(), lambda _: None)
    index = registry.push("arm", make_index((arm, "arm64", "v8")))
    with pytest.raises(InvalidRecipe, match=r"no image for x86_64-linux \(it has: arm64/v8\)"):
        pin_image(environment(index), quick(), lambda _: None)


@needs_registry
def test_what_is_not_there_is_told(
    registry: Registry, quick: Callable[..., Reach], store: SourceStore
) -> None:
    for said in (
        f"{registry.host}/none:v1",
        f"{registry.host}/none@sha256:{'0' * 64}",
        f"{registry.host}/none",
    ):
        with pytest.raises(FetchError, match=r"the registry does not give it .*404") as caught:
            pin_image(environment(said), quick(), lambda _: None)
        assert "docker login" in caught.value.hint
    missing = LockedFile(
        kind="file",
        key="test/layer-001",
        urls=(f"oci:{registry.host}/none@sha256:{'0' * 64}",),
        sha256="0" * 64,
        size=1,
    )
    with pytest.raises(FetchError, match=r"no address gave the file .*404"):
        fetch(missing, store, quick(), lambda _: None)


@needs_registry
def test_pins_that_the_manifest_does_not_bear_out_are_refused(
    registry: Registry, quick: Callable[..., Reach]
) -> None:
    recipe = environment(registry.push("confirmed", IMAGE))
    pinned = pin_image(recipe, quick(), lambda _: None)
    lowest = replace(pinned.layers[0], diff_id=digest(b"other"))
    for wrong in (
        replace(pinned, layers=pinned.layers[::-1]),
        replace(pinned, layers=pinned.layers[:1]),
        replace(pinned, layers=(lowest, pinned.layers[1])),
        replace(pinned, config=digest(b"other")),
    ):
        with pytest.raises(HashMismatch, match="are not what its manifest says"):
            confirm_image(recipe, wrong, quick())


@needs_registry
@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_bytes_that_changed_in_the_registry_are_refused(
    registry: Registry, quick: Callable[..., Reach], store: SourceStore, which: str
) -> None:
    image = make_image(tar_bytes(("name", "file", 0o644, which)))
    recipe = environment(registry.push(f"changed/{which}", image))
    pinned = pin_image(recipe, quick(), lambda _: None)
    changed = {
        "manifest": image.digest,
        "config": pinned.config,
        "layer": pinned.layers[0].digest,
    }[which]
    data = bytearray(registry.stored(changed).read_bytes())
    data[-2] ^= 1
    registry.stored(changed).write_bytes(data)
    with pytest.raises((HashMismatch, FetchError)):
        if which == "layer":
            fetch(pins(recipe, pinned)[0], store, quick(), lambda _: None)
        else:
            pin_image(recipe, quick(), lambda _: None)
    assert store.file(pinned.layers[0].digest.removeprefix("sha256:")) is None


@needs_registry
def test_a_registry_that_wants_a_password_gets_the_one_of_dockers_configuration(
    tmp_path: Path, quick: Callable[..., Reach], store: SourceStore, events: list[Event]
) -> None:
    # bcrypt of "secret"
    (tmp_path / "htpasswd").write_text(
        "somebody:$2b$04$Ic4HnApZycyJ1JRA1WaaRur7MiVj6f29TNYeceqakXu0En.OfonZi\n"
    )
    auth = f"auth: {{htpasswd: {{realm: test, path: {json.dumps(str(tmp_path / 'htpasswd'))}}}}}\n"
    login = base64.b64encode(b"somebody:secret").decode()
    with running_registry(tmp_path / "private", auth=auth) as private:
        private.login = ("somebody", "secret")
        recipe = environment(private.push("closed", IMAGE))
        with pytest.raises(FetchError, match="401"):
            pin_image(recipe, quick(), events.append)
        with pytest.raises(FetchError, match="401"):
            wrong = base64.b64encode(b"somebody:wrong").decode()
            pin_image(recipe, quick(credentials={private.host: wrong}), events.append)
        # As `docker login` leaves it.
        (tmp_path / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": login}}}))
        credentials = read_credentials({"DOCKER_CONFIG": str(tmp_path)})
        pinned = pin_image(recipe, quick(credentials=credentials), events.append)
        for pin in pins(recipe, pinned):
            assert fetch(pin, store, quick(credentials=credentials), events.append).stat().st_size == pin.size
    assert login not in repr(events)


def test_offline_nothing_is_asked(quick: Callable[..., Reach]) -> None:
    said = f"127.0.0.1:1/x@{digest(b'')}"
    pinned = PinnedImage(reference=said, manifest=digest(b""), config=digest(b""), layers=())
    with pytest.raises(Offline):
        pin_image(environment(said), quick(offline=True), lambda _: None)
    with pytest.raises(Offline):
        confirm_image(environment(said), pinned, quick(offline=True))


# ---- servers that are no good registries


def put(server: Server, image: Image, repository: str = "x") -> str:
    """Make a server give an image's documents and blobs; give the reference of the image."""

    def giver(data: bytes) -> Callable[[Handler], None]:
        return lambda handler: handler.give(data)

    server.answers[f"/v2/{repository}/manifests/{image.digest}"] = giver(image.manifest)
    for name, blob in image.blobs.items():
        server.answers[f"/v2/{repository}/blobs/{name}"] = giver(blob)
    return f"{server.url('').removeprefix('http://')}/{repository}@{image.digest}"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def refused(quick: Callable[..., Reach], said: str) -> str:
    """Give the message with which an image is refused, and make sure that it is not fetched."""
    with pytest.raises(LayerlockError) as caught:
        pin_image(environment(said), quick(), lambda _: None)
    assert isinstance(caught.value, UnsafeArchive | InvalidRecipe), caught.value
    return caught.value.message


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (make_image(ONE, manifest={"schemaVersion": 1, "fsLayers": []}), "docker's schema 1"),
        (make_image(ONE, manifest={"manifests": []}), "neither an image's manifest nor an index"),
        (make_image(ONE, manifest={"schemaVersion": 3}), "neither an image's manifest nor an index"),
        (make_image(ONE, manifest={"layers": {}}), "`layers` is no list"),
        (make_image(ONE, manifest={"layers": []}), "has 0 layers"),
        (make_image(ONE, manifest={"layers": [{}] * 600}), "has 600 layers"),
        (
            make_image(ONE, layer={"mediaType": f"{OCI['layer'].removesuffix('gzip')}zstd"}),
            "compressed with zstd",
        ),
        (
            make_image(ONE, layer={"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}),
            "foreign",
        ),
        (
            make_image(ONE, layer={"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}),
            "foreign",
        ),
        (make_image(ONE, layer={"urls": ["https://example.org/layer"]}), "foreign layer"),
        (make_image(ONE, layer={"mediaType": "text/plain"}), "of the type 'text/plain'"),
        (make_image(ONE, layer={"digest": "sha512:" + "0" * 128}), "only sha256 is taken"),
        (make_image(ONE, layer={"digest": "sha256:../../x"}), "only sha256 is taken"),
        (make_image(ONE, layer={"size": -1}), "has no digest or no size"),
        (make_image(ONE, layer={"size": "1"}), "has no digest or no size"),
        (make_image(ONE, layer={"size": 1 << 60}), "at most"),
        (make_image(ONE, kind={**OCI, "config": "application/vnd.cncf.helm.config.v1+json"}), "is no image"),
        (
            make_image(ONE, diff_ids=[digest(ONE), digest(TWO)]),
            "its manifest has 1 layers, its configuration 2",
        ),
        (make_image(ONE, diff_ids=["md5:0"]), "does not give the sha256 of each layer"),
        (make_image(ONE, config={"rootfs": None}), "does not give the sha256 of each layer"),
        (make_image(ONE, config={"os": "windows"}), "is an image for windows/amd64"),
        (make_image(ONE, config={"os": ["linux"]}), "is an image for"),
        (Image(manifest=b"<html>", media_type="", blobs={}), "is no JSON document of an image"),
        (Image(manifest=b"[" * 100_000, media_type="", blobs={}), "is no JSON document of an image"),
        (Image(manifest=b"[]", media_type="", blobs={}), "is no JSON document of an image"),
    ],
)
def test_documents_that_are_no_image_are_refused(
    server: Server, quick: Callable[..., Reach], image: Image, problem: str
) -> None:
    assert problem in refused(quick, put(server, image))


def test_an_index_within_an_index_is_refused(server: Server, quick: Callable[..., Reach]) -> None:
    inner = make_index((IMAGE, "amd64", ""))
    put(server, inner)
    assert "an index within an index" in refused(quick, put(server, make_index((inner, "amd64", ""))))


def test_a_registry_that_gives_other_bytes_is_refused(
    server: Server, quick: Callable[..., Reach], store: SourceStore
) -> None:
    said = put(server, IMAGE)
    recipe = environment(said)
    pinned = pin_image(recipe, quick(), lambda _: None)
    (pin, _) = pins(recipe, pinned)
    lie = make_image(TWO)
    blob = f"/v2/x/blobs/sha256:{pin.sha256}"
    server.answers[blob] = lambda handler: handler.give(bytes(pin.size))
    with pytest.raises(HashMismatch, match="pinned is"):
        fetch(pin, store, quick(), lambda _: None)
    server.answers[blob] = lambda handler: handler.give(bytes(pin.size + 1))
    with pytest.raises(FetchError, match=f"it has {pin.size + 1} bytes where {pin.size} are pinned"):
        fetch(pin, store, quick(), lambda _: None)
    server.answers[f"/v2/x/blobs/{pinned.config}"] = lambda handler: handler.give(b"{}")
    with pytest.raises(HashMismatch, match="gives other bytes"):
        pin_image(recipe, quick(), lambda _: None)
    server.answers[f"/v2/x/manifests/{IMAGE.digest}"] = lambda handler: handler.give(lie.manifest)
    with pytest.raises(HashMismatch, match="gives other bytes"):
        pin_image(recipe, quick(), lambda _: None)


def test_a_registry_that_hangs_or_never_ends_is_given_up(
    server: Server, quick: Callable[..., Reach], store: SourceStore
) -> None:
    said = put(server, IMAGE)
    recipe = environment(said)
    pinned = pin_image(recipe, quick(), lambda _: None)
    patience = Patience(connect=1, read=0.3, answer=0.6, window=0.3, floor=1 << 20, tries=1)
    manifest = f"/v2/x/manifests/{IMAGE.digest}"

    def hang(handler: Handler) -> None:
        server.over.wait(20)

    def flood(handler: Handler) -> None:
        handler.start(200, None)
        while not server.over.is_set():
            handler.wfile.write(bytes(1 << 20))

    server.answers[manifest] = hang
    with pytest.raises(FetchError, match="in time"):
        pin_image(recipe, quick(patience=patience), lambda _: None)
    server.answers[manifest] = flood
    with pytest.raises(FetchError, match="more than 4194304 bytes"):
        pin_image(recipe, quick(), lambda _: None)
    server.answers[f"/v2/x/blobs/{pinned.layers[0].digest}"] = hang
    with pytest.raises(FetchError, match="in time"):
        fetch(pins(recipe, pinned)[0], store, quick(patience=patience), lambda _: None)


# ---- tokens


class Guarded:
    """A server that lets those in who bring its newest token, which `/token` gives."""

    def __init__(self, server: Server, said: str, *, realm: str | None = None) -> None:
        self.server, self.said = server, said
        self.given = 0
        self.lasts = 1000
        self.realm = realm or server.url("/token")
        for path, answer in [*server.answers.items()]:
            server.answers[path] = self.guard(answer)
        server.answers["/token"] = self.give

    def guard(self, answer: Callable[[Handler], None]) -> Callable[[Handler], None]:
        def guarded(handler: Handler) -> None:
            if handler.headers["Authorization"] == f"Bearer token-{self.given}" and self.lasts:
                self.lasts -= 1
                answer(handler)
                return
            asked = r'service="the, \"service\"",scope="repository:x:pull,push,delete"'
            challenge = f'Bearer realm="{self.realm}",{asked}'
            handler.start(401, 0, WWW_Authenticate=challenge)

        return guarded

    def give(self, handler: Handler) -> None:
        self.given += 1
        self.lasts = 2
        handler.give(json.dumps({"token": f"token-{self.given}", "expires_in": 60}).encode())

    def asked(self) -> list[tuple[dict[str, list[str]], str | None]]:
        """Give the questions to the token server, and who asked."""
        return [
            (parse_qs(urlsplit(path).query), headers.get("Authorization"))
            for path, headers in self.server.requests
            if path.startswith("/token")
        ]


def test_a_token_is_asked_for_without_a_name_and_again_when_it_has_run_out(
    server: Server, quick: Callable[..., Reach], store: SourceStore, events: list[Event]
) -> None:
    guarded = Guarded(server, put(server, IMAGE))
    reach = quick()
    recipe = environment(guarded.said)
    pinned = pin_image(recipe, reach, events.append)
    for pin in pins(recipe, pinned):
        fetch(pin, store, reach, events.append)
    # Four documents and blobs, two for each token.
    assert guarded.asked() == [({"service": ['the, "service"'], "scope": ["repository:x:pull"]}, None)] * 2
    assert "token-" not in repr(events)


def test_a_password_goes_to_the_token_server_and_nowhere_else(
    server: Server, quick: Callable[..., Reach]
) -> None:
    guarded = Guarded(server, put(server, IMAGE))
    host = guarded.said.partition("/")[0]
    pin_image(environment(guarded.said), quick(credentials={host: "c29tZWJvZHk6c2VjcmV0"}), lambda _: None)
    assert [who for _, who in guarded.asked()] == ["Basic c29tZWJvZHk6c2VjcmV0"]
    others = [
        headers.get("Authorization", "") for path, headers in server.requests if not path.startswith("/token")
    ]
    assert all(sent == "" or sent.startswith("Bearer token-") for sent in others)


def test_a_redirect_to_another_server_takes_no_token_along(
    server: Server, quick: Callable[..., Reach], store: SourceStore
) -> None:
    """Registries keep blobs elsewhere; a token that is sent there is refused there, and in the wrong hands."""
    with serving() as elsewhere:
        said = put(server, IMAGE)
        recipe = environment(said)
        for name, blob in IMAGE.blobs.items():
            elsewhere.answers[f"/{name}"] = lambda handler, blob=blob: handler.give(blob)  # type: ignore[misc]
            server.answers[f"/v2/x/blobs/{name}"] = lambda handler, name=name: handler.start(  # type: ignore[misc]
                307, 0, Location=elsewhere.url(f"/{name}")
            )
        Guarded(server, said)
        reach = quick()
        for pin in pins(recipe, pin_image(recipe, reach, lambda _: None)):
            fetch(pin, store, reach, lambda _: None)
        assert len(elsewhere.requests) == 3
        assert all("Authorization" not in headers for _, headers in elsewhere.requests)


def test_a_netrc_file_does_not_take_a_tokens_place(
    server: Server, quick: Callable[..., Reach], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    guarded = Guarded(server, put(server, IMAGE))
    assert pin_image(environment(guarded.said), quick(), lambda _: None).manifest == IMAGE.digest


def test_a_challenge_from_where_a_redirect_leads_is_not_answered(
    server: Server, quick: Callable[..., Reach]
) -> None:
    with serving() as elsewhere:
        said = put(server, IMAGE)
        path = f"/v2/x/manifests/{IMAGE.digest}"
        server.answers[path] = lambda handler: handler.start(307, 0, Location=elsewhere.url("/x"))
        realm = f'Bearer realm="{elsewhere.url("/token")}"'
        elsewhere.answers["/x"] = lambda handler: handler.start(401, 0, WWW_Authenticate=realm)
        with pytest.raises(FetchError, match="401"):
            pin_image(environment(said), quick(), lambda _: None)
        assert [path for path, _ in elsewhere.requests] == ["/x"]


@pytest.mark.parametrize(
    ("realm", "problem"),
    [
        ("http://tokens.example.org/token", "no https address"),
        ("ftp://127.0.0.1/token", "no https address"),
        ("https://[bad/token", "no https address"),
        ("/token", "no https address"),
        ("", "no https address"),
    ],
)
def test_a_token_server_that_is_not_asked(
    server: Server, quick: Callable[..., Reach], realm: str, problem: str
) -> None:
    guarded = Guarded(server, put(server, IMAGE))
    guarded.realm = realm
    with pytest.raises(FetchError, match=problem):
        pin_image(environment(guarded.said), quick(), lambda _: None)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda handler: handler.send_error(403), "its token server gives none: the server answers 403"),
        (lambda handler: handler.give(b"{}"), "answers without a token"),
        (lambda handler: handler.give(b'["token"]'), "answers without a token"),
        (lambda handler: handler.give(b'{"token": "a\\r\\nb"}'), "answers without a token"),
        (lambda handler: handler.give(b"not json"), "answers without a token"),
        (lambda handler: handler.give(bytes(1 << 20)), "more than 262144 bytes"),
        (lambda handler: handler.give(b'{"access_token": "wrong"}'), "the server answers 401"),
    ],
)
def test_a_token_server_that_is_no_good(
    server: Server, quick: Callable[..., Reach], answer: Callable[[Handler], None], problem: str
) -> None:
    guarded = Guarded(server, put(server, IMAGE))
    server.answers["/token"] = answer
    with pytest.raises(FetchError, match=problem):
        pin_image(environment(guarded.said), quick(), lambda _: None)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Bearer realm="https://a/t",service="s"', {"bearer": {"realm": "https://a/t", "service": "s"}}),
        (
            'Basic realm="a, Bearer realm=b", bearer Realm = https://c , scope="x:y,z"',
            {"basic": {"realm": "a, Bearer realm=b"}, "bearer": {"realm": "https://c", "scope": "x:y,z"}},
        ),
        ("Negotiate", {"negotiate": {}}),
        ("", {}),
    ],
)
def test_challenges_are_taken_apart(header: str, found: dict[str, dict[str, str]]) -> None:
    assert read_challenge(header) == found


def test_registries_are_spoken_to_by_https_but_on_this_machine() -> None:
    assert base_url("quay.io") == "https://quay.io/v2"
    assert base_url("docker.io") == "https://registry-1.docker.io/v2"
    assert base_url("registry.example.org:5000") == "https://registry.example.org:5000/v2"
    assert base_url("localhost:5000") == "http://localhost:5000/v2"
    assert base_url("127.0.0.1:5000") == "http://127.0.0.1:5000/v2"
    assert base_url("localhost.example.org") == "https://localhost.example.org/v2"


def test_dockers_configuration_is_read_as_far_as_it_holds_passwords(tmp_path: Path) -> None:
    def read(document: object) -> dict[str, str]:
        folder = tmp_path / ".docker"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
        return dict(read_credentials({"HOME": str(tmp_path)}))

    login = base64.b64encode(b"a:b").decode()
    auths = {
        "https://index.docker.io/v1/": {"auth": login},
        "quay.io": {"auth": login},
        "localhost:5000": {"auth": login},
        "helped.example.org": {},
        "broken.example.org": {"auth": "!"},
    }
    assert read({"auths": auths, "credsStore": "desktop"}) == {
        "docker.io": login,
        "quay.io": login,
        "localhost:5000": login,
    }
    others: tuple[object, ...] = ("no json", [], {"auths": []}, {"auths": {"quay.io": 1}}, {})
    for other in others:
        assert read(other) == {}
    assert read_credentials({}) == {}
    assert read_credentials({"DOCKER_CONFIG": str(tmp_path / "none")}) == {}
