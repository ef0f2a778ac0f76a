"""Publishing over real HTTP: what is published, what is not, and what is on record afterwards."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import boto3
import pytest

from tests.publish.aws import Aws
from tests.publish.conftest import Stall

VERSIONS = "GET /2018-10-31/layers/tiny/versions"


def arn(number: int, region: str = "eu-west-1", account: str = "123456789012") -> str:
    """Give a version's ARN."""
    return f"arn:aws:lambda:{region}:{account}:layer:tiny:{number}"


def entries(stall: Stall) -> list[dict[str, object]]:
    """Give the record's entries."""
    rows: list[dict[str, object]] = tomllib.loads(stall.published)["published"]
    return rows


def function(aws: Aws, name: str, layer: str) -> None:
    """Make a function that has a layer."""
    where = {"region_name": "eu-west-1", "endpoint_url": f"http://127.0.0.1:{aws.moto}"}
    iam = boto3.client("iam", **where)
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Path="/x/")["Role"]["Arn"]
    client = boto3.client("lambda", **where)
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": (b"PK\5\6" + bytes(18))},
        Layers=[layer],
    )
    iam.close()
    client.close()


def test_a_new_zip_is_published_described_compared_and_recorded(stall: Stall) -> None:
    sha256 = stall.record("first")
    assert stall.publish() == 0, stall.err
    assert stall.out.splitlines()[-1] == arn(1)
    client = boto3.client("lambda", region_name="eu-west-1", endpoint_url=stall.aws.url)
    there = client.get_layer_version(LayerName="tiny", VersionNumber=1)
    client.close()
    lock_hash = re.search(r"lock sha256:([0-9a-f]{64})$", there["Description"])
    assert lock_hash is not None
    assert f"zip sha256:{sha256} " in there["Description"]
    assert len(there["Description"]) <= 256
    assert there["CompatibleRuntimes"] == ["python3.11"]
    assert there["CompatibleArchitectures"] == ["x86_64"]
    assert there["LicenseInfo"] == "(BSD-3-Clause OR MIT) AND MIT"
    (entry,) = entries(stall)
    assert (entry["layer"], entry["arn"], entry["zip"]) == ("tiny", arn(1), sha256)
    assert [call for call in stall.aws.calls if "__zip__" in call], "it was not downloaded again"


def test_nothing_changed_nothing_published_in_three_calls(stall: Stall) -> None:
    assert stall.publish() == 0
    before = stall.published
    stall.aws.calls.clear()
    assert stall.publish() == 0
    assert stall.out.splitlines()[-1] == arn(1)
    assert stall.versions() == [1]
    assert stall.published == before
    # Who this is, the newest version, and that version's hash.
    assert stall.aws.calls == ["POST /", VERSIONS, f"{VERSIONS}/1"]


def test_nothing_changed_with_everything_asked_for_takes_six_calls_at_most(stall: Stall) -> None:
    wishes = ("--public", "--keep", "2")
    assert stall.publish(*wishes) == 0
    stall.aws.calls.clear()
    assert stall.publish(*wishes) == 0
    assert len(stall.aws.calls) <= 6, stall.aws.calls


def test_other_bytes_are_a_new_version(stall: Stall) -> None:
    assert stall.publish() == 0
    stall.record("second")
    assert stall.publish() == 0
    assert stall.versions() == [2, 1]
    assert [entry["arn"] for entry in entries(stall)] == [arn(1), arn(2)]


def test_a_zip_that_is_not_the_one_of_the_lock_goes_nowhere(stall: Stall) -> None:
    (stall.folder / "dist" / "tiny.zip").write_bytes(b"PK something else")
    assert stall.publish() == 11
    assert "the lock of tiny records" in stall.err
    assert stall.aws.calls == []


def test_a_zip_that_is_not_there_and_a_lock_without_record(stall: Stall) -> None:
    (stall.folder / "dist" / "tiny.zip").unlink()
    assert stall.publish() == 2
    assert "layerlock build tiny" in stall.err
    stall.edit_lock(zip=None)
    assert stall.publish() == 4
    assert "layerlock record tiny" in stall.err
    assert stall.aws.calls == []


def test_a_dry_run_shows_the_plan_and_changes_nothing(stall: Stall) -> None:
    assert stall.publish("--dry-run", "--account", "210987654321") == 0
    assert "publish tiny as version 1 or later, directly" in stall.out
    assert "let account 210987654321 use it" in stall.out
    assert stall.versions() == []
    assert stall.published == ""
    assert not [call for call in stall.aws.calls if call.startswith(("PUT", "DELETE")) or "POST /20" in call]


def test_the_plan_comes_before_anything_changes(stall: Stall) -> None:
    stall.aws.faults.append(stall.refusal("POST /.*/versions$", 403, "AccessDeniedException", "no"))
    assert stall.publish() == 14
    assert "publish tiny as version 1 or later" in stall.out


def test_too_large_for_a_request_goes_by_way_of_s3(stall: Stall) -> None:
    stall.limit(request=700)
    stall.bucket("layers-eu-west-1")
    sha256 = stall.record("by way of S3", padding=400)
    assert stall.publish() == 14
    assert "--bucket" in stall.err
    assert stall.versions() == []
    assert stall.publish("--bucket", "layers-{region}") == 0, stall.err
    assert stall.versions() == [1]
    key = f"/layers-eu-west-1/layerlock/tiny/{sha256}.zip"
    puts = [i for i, call in enumerate(stall.aws.calls) if call == f"PUT {key}"]
    assert len(puts) == 1
    headers = {name.lower(): value for name, value in stall.aws.headers[puts[0]].items()}
    assert headers["x-amz-checksum-sha256"] == stall.base64(sha256)
    # The same bytes again, after the version went: they are in the bucket already.
    stall.delete_version(1)
    (stall.folder / "lockfiles" / "published.toml").unlink()
    stall.aws.calls.clear()
    assert stall.publish("--bucket", "layers-{region}") == 0, stall.err
    assert "where the zip is already" in stall.out
    assert not [call for call in stall.aws.calls if call.startswith("PUT")]


def test_a_zip_of_53_megabytes_needs_s3_by_lambdas_own_limit(stall: Stall) -> None:
    stall.bucket("layers")
    stall.record("large", padding=53_000_000)
    assert stall.publish("--dry-run") == 14
    assert "69,905,067" in stall.err
    assert stall.publish("--bucket", "layers") == 0, stall.err
    assert stall.versions() == [1]


def test_over_the_limit_unzipped_is_refused_before_aws_is_asked(stall: Stall) -> None:
    stall.limit(unzipped=1000)
    stall.record(padding=2000)
    assert stall.publish() == 14
    assert "layerlock size tiny" in stall.err
    assert stall.aws.calls == []


def test_several_regions_and_what_arn_prints(stall: Stall) -> None:
    assert stall.publish("--region", "us-east-1") == 0
    assert stall.out.splitlines()[-2:] == [arn(1), arn(1, "us-east-1")]
    assert stall.run("arn", "tiny") == 0
    assert stall.out.split() == [arn(1), arn(1, "us-east-1")]
    assert stall.run("arn", "tiny", "--region", "us-east-1") == 0
    assert stall.out == f"{arn(1, 'us-east-1')}\n"
    stall.record("second")
    assert stall.publish(region="us-east-1") == 0
    assert stall.run("arn", "tiny") == 0
    assert stall.out.splitlines() == [f"{arn(1)}  (not the zip of the lock)", arn(2, "us-east-1")]
    assert stall.run("arn", "tiny", "--region", "ap-south-1") == 2


def test_a_half_done_publish_goes_on(stall: Stall) -> None:
    broken = stall.refusal("POST /.*/versions$", 403, "AccessDeniedException", "not in this one")
    stall.aws.faults.append(broken)
    broken.skip = 1
    assert stall.publish("--region", "us-east-1") == 14
    assert "the 1 before it are done" in stall.err
    assert [entry["arn"] for entry in entries(stall)] == [arn(1)]
    assert stall.publish("--region", "us-east-1") == 0
    assert (stall.versions(), stall.versions("us-east-1")) == ([1], [1])
    assert [entry["arn"] for entry in entries(stall)] == [arn(1), arn(1, "us-east-1")]


def test_a_version_that_was_published_and_not_recorded_is_found(stall: Stall) -> None:
    assert stall.publish() == 0
    (stall.folder / "lockfiles" / "published.toml").unlink()
    stall.aws.calls.clear()
    assert stall.publish() == 0
    assert stall.versions() == [1]
    assert [call for call in stall.aws.calls if "__zip__" in call], "it was recorded unseen"
    assert len(stall.aws.api_calls) <= 6
    assert [entry["arn"] for entry in entries(stall)] == [arn(1)]


def test_accounts_by_role(stall: Stall) -> None:
    roles = [f"arn:aws:iam::{number}:role/publisher" for number in ("111111111111", "222222222222")]
    assert stall.publish("--role", roles[0], "--role", roles[1]) == 0, stall.err
    assert [entry["arn"] for entry in entries(stall)] == [
        arn(1, account="111111111111"),
        arn(1, account="222222222222"),
    ]
    assert stall.run("arn", "tiny", "--account", "222222222222") == 0
    assert stall.out == f"{arn(1, account='222222222222')}\n"


def test_profiles_and_the_region_of_the_surroundings(
    stall: Stall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "aws-config"
    config.write_text(
        "[profile one]\nregion = eu-north-1\naws_access_key_id = AKIAONE\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert stall.run("publish", "tiny", "--profile", "one") == 0, stall.err
    assert entries(stall)[0]["arn"] == arn(1, "eu-north-1")
    assert stall.run("publish", "tiny", "--profile", "nobody") == 14
    assert "nobody" in stall.err
    assert stall.run("publish", "tiny") == 14
    assert "no region is named" in stall.err


def test_permissions_are_given_once(stall: Stall) -> None:
    wishes = ("--public", "--account", "210987654321", "--organization", "o-abcdefghij")
    assert stall.publish(*wishes) == 0, stall.err
    client = boto3.client("lambda", region_name="eu-west-1", endpoint_url=stall.aws.url)
    policy = json.loads(client.get_layer_version_policy(LayerName="tiny", VersionNumber=1)["Policy"])
    client.close()
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert sids == ["public", "account-210987654321", "organization-o-abcdefghij"]
    stall.aws.calls.clear()
    assert stall.publish(*wishes) == 0
    assert not [call for call in stall.aws.calls if call.startswith("POST") and "policy" in call]
    assert len(stall.aws.calls) <= 6
    assert stall.publish("--account", "333333333333") == 0
    assert sum("POST" in call and "policy" in call for call in stall.aws.calls) == 1
    assert stall.versions() == [1]


def test_keep_deletes_old_versions_but_those_that_functions_have(stall: Stall) -> None:
    for text in ("first", "second", "third", "fourth"):
        stall.record(text)
        assert stall.publish() == 0
    function(stall.aws, "classify", arn(2))
    stall.record("fifth")
    assert stall.publish("--keep", "2", "--function", "classify", "--dry-run") == 0
    assert f"leave {arn(2)}: classify has it" in stall.out
    assert stall.versions() == [4, 3, 2, 1]
    assert stall.publish("--keep", "2", "--function", "classify") == 0, stall.err
    assert stall.versions() == [5, 4, 2]
    assert [entry["arn"] for entry in entries(stall) if entry.get("pruned")] == [arn(1), arn(3)]
    # Nothing to publish: two stay all the same, and without a function to protect it the old one goes.
    assert stall.publish("--keep", "2") == 0
    assert "no function was named" in stall.err
    assert stall.versions() == [5, 4]
    assert stall.run("arn", "tiny", "--all") == 0
    assert len(stall.out.splitlines()) == 2


def test_a_function_that_is_nowhere_is_refused_before_anything_changes(stall: Stall) -> None:
    assert stall.publish() == 0
    stall.record("second")
    assert stall.publish("--keep", "1", "--function", "clasify") == 2
    assert "no function `clasify`" in stall.err
    assert stall.versions() == [1]
    assert stall.publish("--function", "classify") == 2


def test_as_json(stall: Stall) -> None:
    plan, done = stall.json("publish", "tiny", "--region", "eu-west-1")
    assert plan["plan"][0]["present"] is None  # type: ignore[index]
    assert done["layers"][0]["arn"] == arn(1)  # type: ignore[index]
    (told,) = stall.json("arn", "tiny")
    assert told["arns"][0]["current"] is True  # type: ignore[index]


def test_a_record_that_contradicts_aws_is_an_error(stall: Stall) -> None:
    sha256 = stall.record("first")
    assert stall.publish() == 0
    path = stall.folder / "lockfiles" / "published.toml"
    path.write_text(path.read_text().replace(sha256, "0" * 64))
    assert stall.publish() == 14
    assert "was edited" in stall.err
    path.write_text(path.read_text().replace("version = 1", "version = 2", 1))
    assert stall.publish() == 3
    assert "use a newer layerlock" in stall.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--region", "Paris"), "a region such as"),
        (("--account", "12"), "twelve digits"),
        (("--organization", "acme"), "organization's id"),
        (("--role", "admin"), "ARN of a role"),
        (("--keep", "0"), "at least 1"),
        (("--name", "a.b"), "letters, digits"),
    ],
)
def test_arguments_that_aws_would_refuse(stall: Stall, arguments: tuple[str, ...], said: str) -> None:
    assert stall.publish(*arguments) == 2
    assert said in stall.err
    assert stall.aws.calls == []
