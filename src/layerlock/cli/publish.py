"""`layerlock publish`: a layer's zip, as the lock records it, to AWS."""

from __future__ import annotations

import argparse
import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import UsageError
from layerlock.ui.text import size

if TYPE_CHECKING:
    from layerlock.cli.call import Call
    from layerlock.io.http import Fetcher
    from layerlock.publish.cloud import Grant, Remote
    from layerlock.publish.decide import Steps
    from layerlock.workflows.publishing import Order, Prepared

HELP = Help(
    about="Publishes a layer's zip to AWS Lambda, if its bytes are not the newest version's already. The zip is held "
    "against the lock first, and what AWS keeps is downloaded and compared afterwards. What is to be done is shown "
    "before anything changes. Started again after it was stopped, it goes on where it was. Credentials and region "
    "come from where the AWS tools have them: environment, ~/.aws, the machine's role.",
    writes="lockfiles/published.toml: each layer version, with the hash of its zip.",
    examples=(
        "layerlock publish cv --region eu-west-1 --dry-run",
        "layerlock publish cv --region eu-west-1 --region us-east-1 --account 123456789012",
        "layerlock publish torch --region eu-west-1 --bucket layers-{region} --keep 3 --function classify",
    ),
    related=("arn", "template", "record"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="the layer to publish")
    parser.add_argument(
        "--region",
        action="append",
        type=_region,
        metavar="REGION",
        help="where to; may be given several times",
    )
    parser.add_argument(
        "--profile",
        action="append",
        metavar="NAME",
        help="the profile of an account; several for several accounts",
    )
    parser.add_argument(
        "--role",
        action="append",
        type=_role,
        metavar="ARN",
        help="a role to take on; several for several accounts",
    )
    parser.add_argument(
        "--bucket",
        metavar="NAME",
        help="the bucket for zips too large for a request; {region} in it is filled in",
    )
    parser.add_argument("--name", help="what the layer is called in AWS; its own name if left out")
    parser.add_argument("--zip", metavar="FILE", help="the zip; dist/LAYER.zip if left out")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        help="delete all but the newest N versions, the published one among them",
    )
    parser.add_argument(
        "--function",
        action="append",
        metavar="NAME",
        help="with --keep: a function that is asked which versions it names; those are not deleted",
    )
    parser.add_argument("--public", action="store_true", help="let everybody use the version")
    parser.add_argument(
        "--account", action="append", type=_account, metavar="ID", help="let an account use the version"
    )
    parser.add_argument(
        "--organization",
        action="append",
        type=_organization,
        metavar="ID",
        help="let an organization's accounts use the version",
    )


def run(call: Call) -> int:
    """Publish a layer."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    order = _order(call, layer)
    from layerlock.publish.aws import open_account  # noqa: PLC0415 - boto3 is slow to load
    from layerlock.workflows.publishing import prepared  # noqa: PLC0415 - --help does without it

    def fetcher() -> Fetcher:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - as above

        return make_reach(call.settings).fetcher

    rows: list[dict[str, object]] = []
    with ExitStack() as stack:
        with call.driver() as driver:
            made = stack.enter_context(prepared(driver, order, open_account, fetcher, time.sleep))
        # No display is drawn while the plan is written.
        _show_plan(call, made, dry=bool(call.option("dry_run")))
        if call.option("dry_run"):
            return 0
        with call.listening() as emit:
            for steps, remote in made.carry_out(emit):
                rows.append(_done(steps, remote))
    call.result("\n".join(str(row["arn"]) for row in rows), {**_about(made), "layers": rows})
    return 0


def _done(steps: Steps, remote: Remote) -> dict[str, object]:
    return {
        "arn": remote.arn,
        "account": steps.account,
        "region": steps.region,
        "published": steps.present is None,
        "verified": steps.verify,
        "shared": [str(grant) for grant in steps.grants],
        "pruned": [each.arn for each in steps.prune],
    }


def _order(call: Call, layer: str) -> Order:
    from layerlock.publish.decide import Wish  # noqa: PLC0415 - as above
    from layerlock.workflows.publishing import Order  # noqa: PLC0415 - as above

    functions = tuple(call.option("function", ()))
    if functions and call.option("keep") is None:
        raise UsageError("--function is about versions that --keep would delete", hint="add --keep N")
    named = call.option("zip")
    return Order(
        layer=layer,
        name=call.option("name", layer),
        path=call.current / named if named is not None else call.root / "dist" / f"{layer}.zip",
        regions=tuple(dict.fromkeys(call.option("region", ()))),
        profiles=tuple(dict.fromkeys(call.option("profile", (None,)))),
        roles=tuple(dict.fromkeys(call.option("role", (None,)))),
        functions=functions,
        wish=Wish(bucket=call.option("bucket"), grants=_grants(call), keep=call.option("keep")),
    )


def _grants(call: Call) -> tuple[Grant, ...]:
    from layerlock.publish.cloud import Grant  # noqa: PLC0415 - as above

    grants = [Grant(sid="public", principal="*")] if call.option("public") else []
    grants += [Grant(sid=f"account-{each}", principal=each) for each in call.option("account", ())]
    grants += [
        Grant(sid=f"organization-{each}", principal="*", organization=each)
        for each in call.option("organization", ())
    ]
    return tuple(dict.fromkeys(grants))


def _show_plan(call: Call, made: Prepared, *, dry: bool) -> None:
    zipped = made.zipped
    lines = [f"plan for {zipped.layer}: {size(zipped.size)}, sha256 {zipped.sha256}"]
    for steps in made.steps:
        lines.append(f"  {steps.region}, account {steps.account}:")
        lines += [f"    {line}" for line in _told(steps, made)]
    if dry:
        lines.append("nothing was changed (--dry-run)")
    fields = {**_about(made), "plan": [_row(steps) for steps in made.steps]}
    call.result("\n".join(lines), fields)
    call.stdout.flush()


def _about(made: Prepared) -> dict[str, object]:
    zipped = made.zipped
    return {"layer": zipped.layer, "sha256": zipped.sha256, "size": zipped.size}


def _told(steps: Steps, made: Prepared) -> list[str]:
    lines = []
    if steps.present is not None:
        lines.append(f"unchanged: {steps.present.arn} has these bytes")
    elif steps.bucket is None:
        lines.append(f"publish {made.upload.layer} as version {steps.after + 1} or later, directly")
    else:
        there = "" if steps.upload else ", where the zip is already"
        lines.append(
            f"publish {made.upload.layer} as version {steps.after + 1} or later, by way of "
            f"s3://{steps.bucket}/{made.zipped.key}{there}"
        )
    if steps.verify:
        lines.append("download it, compare, and record it in lockfiles/published.toml")
    lines += [f"let {grant} use it" for grant in steps.grants]
    lines += [f"delete {each.arn}" for each in steps.prune]
    lines += [f"leave {each.arn}: {', '.join(names)} has it" for each, names in steps.used]
    return lines


def _row(steps: Steps) -> dict[str, object]:
    return {
        "region": steps.region,
        "account": steps.account,
        "present": steps.present.arn if steps.present is not None else None,
        "bucket": steps.bucket,
        "upload": steps.upload,
        "verify": steps.verify,
        "share": [str(grant) for grant in steps.grants],
        "delete": [each.arn for each in steps.prune],
        "used": {each.arn: [*names] for each, names in steps.used},
    }


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _matching(pattern: str, called: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"must be {called}, not {text!r}")
    return text


def _region(text: str) -> str:
    return _matching(r"[a-z]{2,}(-[a-z]+)+-[0-9]+", "a region such as eu-west-1", text)


def _account(text: str) -> str:
    return _matching(r"[0-9]{12}", "an account's twelve digits", text)


def _organization(text: str) -> str:
    return _matching(r"o-[a-z0-9]{10,32}", "an organization's id, `o-...`", text)


def _role(text: str) -> str:
    return _matching(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", "the ARN of a role", text)
