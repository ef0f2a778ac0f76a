"""`layerlock template`: infrastructure templates that use a layer."""

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

TOOLS = ("sam", "serverless", "terraform", "cdk")
"""The tools; `publish.templates.table.TOOLS` has the same, and is slower to load."""

HELP = Help(
    about="Writes a template with one function that uses a layer: for AWS SAM (template.yaml), the Serverless "
    "Framework (serverless.yml), Terraform (main.tf) or the CDK (app.py, Python). It names the published version of a "
    "region by its ARN, or, with --local, the zip. The function's own code is expected in `function/app.py` with a "
    "`handler` (Serverless: `app.py`). The same layer gives the same text.",
    writes="nothing, or the file that --out names.",
    examples=(
        "layerlock template sam cv --region eu-west-1 > template.yaml",
        "layerlock template terraform cv --local",
    ),
    related=("publish", "arn"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("tool", choices=TOOLS, metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("layer", metavar="LAYER", help="the layer")
    parser.add_argument(
        "--region", metavar="REGION", help="which region's version; needed where there are several"
    )
    parser.add_argument(
        "--account", metavar="ID", help="which account's version; needed where there are several"
    )
    parser.add_argument(
        "--local", action="store_true", help="name dist/LAYER.zip, and let the tool upload it"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write to this file, and name the zip as seen from there"
    )


def run(call: Call) -> int:
    """Write a template."""
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - --help does without it
    from layerlock.publish.templates.subject import Subject  # noqa: PLC0415 - as above
    from layerlock.publish.templates.table import TOOLS as TABLE  # noqa: PLC0415 - as above
    from layerlock.workflows.publishing import licence  # noqa: PLC0415 - as above

    layer, tool = call.options.layer, TABLE[call.options.tool]
    check_layer(call.repository, layer)
    recipe = call.repository.layer(layer)
    runtime = call.repository.runtime(recipe.layer.runtime)
    entry = None if call.option("local") else _entry(call, layer)
    out = call.current / call.option("out") if call.option("out") else None
    beside = out.parent if out is not None else call.current
    text = tool.render(
        Subject(
            layer=layer,
            summary=recipe.layer.summary,
            licence=licence(
                {call.repository.package(name).package.license for name in recipe.layer.packages}
            ),
            runtime=f"python{runtime.runtime.python}",
            architecture=recipe.layer.architecture,
            arn=entry.arn if entry is not None else None,
            zip=Path(os.path.relpath(call.root / "dist" / f"{layer}.zip", beside)).as_posix(),
            region=entry.region if entry is not None else call.option("region"),
        )
    )
    fields = {"tool": call.options.tool, "layer": layer, "file": tool.file, "text": text}
    if out is not None:
        write_bytes(out, text.encode())
        call.result(f"wrote {call.shown(out)}", {**fields, "path": str(out)})
    else:
        call.result(text.removesuffix("\n"), fields)
    return 0


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
