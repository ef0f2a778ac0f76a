"""Whether Lambda would take a function that was built, with the layers that it runs with."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.errors import FunctionRefused
from layerlock.layer.result import LayerZip, unzipped_size
from layerlock.model.derivation import Realisation
from layerlock.model.function import FunctionLayer
from layerlock.plan import layers
from layerlock.plan.limits import Weight, fits_directly, refusals, request_bytes
from layerlock.plan.stack import beneath
from layerlock.workflows.driver import Driver


def check_function(
    driver: Driver, recipe: FunctionLayer, zipped: LayerZip, made: Mapping[str, Realisation]
) -> str:
    """Hold a function with its layers against Lambda's limits; say what they come to, and how its zip gets there.

    Raises:
        FunctionRefused: it is over one of them; all are named.
    """
    limits = driver.repository.runtime(recipe.layer.runtime).limits
    trees = {layer.name: made[layers.tree_name(layer.name)] for layer in beneath(recipe, driver.repository)}
    weight = Weight(
        name=recipe.name,
        size=zipped.size,
        unzipped=zipped.unzipped,
        layers={name: unzipped_size(driver.store.held_tree(tree.output)) for name, tree in trees.items()},
        variables=recipe.variables,
    )
    wrong = tuple(refusals(weight, limits))
    if wrong:
        raise FunctionRefused(
            "\n".join(message for message, _ in wrong),
            hint="; ".join(hint for _, hint in wrong),
            location=driver.repository.locate("functions", recipe.name, "function"),
        )
    message = f"with its layers {weight.total:,} of {limits.unzipped:,} bytes unzipped"
    request = request_bytes(zipped.size)
    if fits_directly(zipped.size, limits):
        message += f"; {request:,} of {limits.request:,} bytes of a request: it can be uploaded directly"
    else:
        message += (
            f"; a request with it would have {request:,} bytes, and the limits are "
            f"{limits.request:,} and a zip of {limits.direct_upload:,}: it has to go through S3"
        )
    return message
