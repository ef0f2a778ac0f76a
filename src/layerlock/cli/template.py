"""`layerlock template`: infrastructure templates that use a layer, or deploy a function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.model.published import Publication
    from layerlock.publish.templates.subject import FunctionSubject, Subject

TOOLS = ("sam", "serverless", "terraform", "cdk")
"""The tools; `publish.templates.table.TOOLS` has the same, and is slower to load."""

HELP = Help(
    about="Writes a template with one function that uses a layer: for AWS SAM (template.yaml), the Serverless "
    "Framework (serverless.yml), Terraform (main.tf) or the CDK (app.py, Python). It names the published version of a "
    "region by its ARN, or, with --local, the zip. The function's own code is expected in `function/app.py` with a "
    "`handler` (Serverless: `app.py`). Of a function of this repository the template deploys it with its layers and "
    "all that its recipe's table `deploy` asks for: buckets, triggers, an address. Same recipes, same text.",
    writes="nothing, or the file that --out names.",
    examples=(
        "layerlock template sam cv --region eu-west-1 > template.yaml",
        "layerlock template terraform cv --local",
        "layerlock template sam lambdavision --local --out deploy/template.yaml",
    ),
    related=("publish", "arn"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("tool", choices=TOOLS, metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("layer", metavar="LAYER", help="the layer, or the function")
    parser.add_argument(
        "--region", metavar="REGION", help="which region's version; needed where there are several"
    )
    parser.add_argument(
        "--account", metavar="ID", help="which account's version; needed where there are several"
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="name dist/LAYER.zip, and let the tool upload it; of a function its layers'",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write to this file, and name the zip as seen from there"
    )


def run(call: Call) -> int:
    """Write a template."""
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - --help does without it
    from layerlock.model.function import FunctionLayer  # noqa: PLC0415 - as above
    from layerlock.publish.templates.table import TOOLS as TABLE  # noqa: PLC0415 - as above

    name, tool = call.options.layer, TABLE[call.options.tool]
    check_layer(call.repository, name)
    out = call.current / call.option("out") if call.option("out") else None
    beside = out.parent if out is not None else call.current
    if isinstance(call.repository.layer(name), FunctionLayer):
        text = tool.render_function(_function(call, name, beside))
    else:
        text = tool.render(_layer(call, name, beside))
    fields = {"tool": call.options.tool, "layer": name, "file": tool.file, "text": text}
    if out is not None:
        write_bytes(out, text.encode())
        call.result(f"wrote {call.shown(out)}", {**fields, "path": str(out)})
    else:
        call.result(text.removesuffix("\n"), fields)
    return 0


def _layer(call: Call, layer: str, beside: Path) -> Subject:
    from layerlock.publish.templates.subject import Subject  # noqa: PLC0415 - as above
    from layerlock.workflows.publishing import licence  # noqa: PLC0415 - as above

    recipe = call.repository.layer(layer)
    runtime = call.repository.runtime(recipe.layer.runtime)
    entry = None if call.option("local") else _entry(call, layer)
    return Subject(
        layer=layer,
        summary=recipe.layer.summary,
        licence=licence({call.repository.package(name).package.license for name in recipe.layer.packages}),
        runtime=f"python{runtime.runtime.python}",
        architecture=recipe.layer.architecture,
        arn=entry.arn if entry is not None else None,
        zip=_zip(call, layer, beside),
        region=entry.region if entry is not None else call.option("region"),
    )


def _function(call: Call, name: str, beside: Path) -> FunctionSubject:
    from layerlock.publish.templates.subject import BucketSubject, FunctionSubject  # noqa: PLC0415 - as above

    recipe = call.repository.function(name)
    about, deploy = recipe.function, recipe.deploy
    runtime = call.repository.runtime(about.runtime)
    layers = tuple(_layer(call, layer, beside) for layer in about.layers)
    method, _, path = (deploy.route or "").partition(" ")
    return FunctionSubject(
        name=name,
        summary=about.summary,
        runtime=f"python{runtime.runtime.python}",
        deprecated=runtime.dates.deprecated.isoformat(),
        architecture=about.architecture,
        handler=about.handler,
        zip=_zip(call, name, beside),
        variables=about.variables,
        memory=-(-deploy.memory // (1 << 20)),
        time=deploy.time,
        retries=deploy.retries,
        method=method,
        path=path,
        buckets=tuple(
            BucketSubject(
                name=bucket.name,
                summary=bucket.summary,
                access=bucket.access,
                starts=bucket.starts,
                variable=bucket.variable or "",
            )
            for bucket in deploy.buckets
        ),
        layers=layers,
        region=next((layer.region for layer in layers), call.option("region")),
    )


def _zip(call: Call, name: str, beside: Path) -> str:
    return Path(os.path.relpath(call.root / "dist" / f"{name}.zip", beside)).as_posix()


def _entry(call: Call, layer: str) -> Publication:
    """Find the newest published version of the layer, in the one region and account that is meant."""
    from layerlock.publish.record import read_published  # noqa: PLC0415 - as above

    region, account = call.option("region"), call.option("account")
    found = {
        entry.arn.rpartition(":")[0]: entry
        for entry in read_published(call.root).of(layer)
        if region in (None, entry.region) and account in (None, entry.account)
    }
    if not found:
        raise UsageError(
            f"`{layer}` was not published{' there' if region or account else ''}",
            hint=f"name the zip with --local, or run: layerlock publish {layer} --dry-run",
        )
    if len(found) > 1:
        raise UsageError(
            f"`{layer}` was published in several places: {', '.join(found)}",
            hint="choose one with --region, and --account where that is not enough",
        )
    return next(iter(found.values()))
