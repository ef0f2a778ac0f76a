"""What environments are made from: whether it is pinned, and the layers of an OCI image as locked sources."""

from __future__ import annotations

from layerlock.errors import InvalidRecipe, StaleLock
from layerlock.model.derivation import SourceInput, Transform
from layerlock.model.image import read_reference
from layerlock.model.lock import LockedFile
from layerlock.model.recipe import EnvironmentRecipe, PinnedImage
from layerlock.model.recipes import Recipes

ROOT = "oci-root/1"
LAYER = "oci-layer/1"


def check_origin(recipe: EnvironmentRecipe, recipes: Recipes) -> None:
    """Make sure that an environment is made from one thing only.

    Raises:
        InvalidRecipe: it states, or has pins of, more than one of an image, Debian packages and a base.
    """
    about = recipe.environment
    stated = [
        (key, value)
        for key, value in (("image", about.image), ("packages", about.packages), ("base", about.base))
        if value
    ]
    if about.image is not None and len(stated) > 1:
        listed = " and ".join(f"`{key}`" for key, _ in stated)
        raise InvalidRecipe(
            f"the environment `{about.name}` has {listed}; it is made from one of them",
            location=recipes.locate("environments", about.name, f"environment.{stated[1][0]}"),
        )
    left = "debs" if about.image is not None and recipe.debs else None
    left = "image" if about.image is None and recipe.image is not None else left
    if left is not None:
        raise InvalidRecipe(
            f"the environment `{about.name}` has pins of what it is not made from",
            hint=f"remove recipes/environments/{about.name}.{left}.toml",
            location=recipes.locate("environments", about.name, "environment.name"),
        )
    if about.image is not None and recipe.floor is not None:
        raise InvalidRecipe(
            f"the environment `{about.name}` has an image and a floor",
            hint=f'a floor needs an environment of its own, with `base = "{about.name}"`',
            location=recipes.locate("environments", about.name, "floor"),
        )


def lacks_pins(recipe: EnvironmentRecipe) -> bool:
    """Say whether an environment has no pins of its Debian packages, or of an image by digest: `lock` writes them."""
    about = recipe.environment
    if about.packages and not recipe.debs:
        return True
    if about.image is None or read_reference(about.image).digest is None:
        return False
    return recipe.image is None or recipe.image.reference != about.image


def check_debs(recipe: EnvironmentRecipe, recipes: Recipes) -> None:
    """Make sure that the Debian packages that an environment asks for are pinned: a root without them would be empty.

    Raises:
        StaleLock: none is.
    """
    about = recipe.environment
    if about.packages and not recipe.debs:
        raise StaleLock(
            f"the Debian packages of `{about.name}` are not pinned yet",
            hint="lock a layer that uses it, which writes "
            f"recipes/environments/{about.name}.debs.toml: nox -s lock -- LAYER",
            location=recipes.locate("environments", about.name, "environment.packages"),
        )


def pinned_image(recipe: EnvironmentRecipe, recipes: Recipes) -> PinnedImage:
    """Give the pins of an environment's image.

    Raises:
        InvalidRecipe: the image is named by a tag, or not even that, and nothing is pinned.
        StaleLock: there are no pins yet of the digest that the recipe states, or they are another image's.
    """
    about = recipe.environment
    location = recipes.locate("environments", about.name, "environment.image")
    if recipe.image is None or recipe.image.reference != about.image:
        if lacks_pins(recipe):
            raise StaleLock(
                f"the layers of the image of `{about.name}` are not pinned yet",
                hint="lock a layer that uses it: nox -s lock -- LAYER",
                location=location,
            )
        if recipe.image is None:
            raise InvalidRecipe(
                f"the image `{about.image}` of the environment `{about.name}` is not pinned by digest: "
                "a tag can be moved",
                hint=f"write its digest behind it (`@sha256:...`), or let `lock` pin it: "
                f"nox -s lock -- LAYER --upgrade {about.name}",
                location=location,
            )
        raise StaleLock(
            f"the environment `{about.name}` has pins of `{recipe.image.reference}`; "
            f"its recipe says `{about.image}`",
            hint=f"if the change is meant, run: nox -s lock -- LAYER --upgrade {about.name}",
            location=location,
        )
    return recipe.image


def layer_key(recipe: EnvironmentRecipe, index: int) -> str:
    """Give the key in a lock of an image's layer."""
    return f"{recipe.name}/{_place(index)}"


def layer_pins(recipe: EnvironmentRecipe, recipes: Recipes) -> tuple[LockedFile, ...]:
    """Give the layers of an environment's image as a lock holds them, the lowest first; none without an image.

    Raises:
        InvalidRecipe, StaleLock: as `pinned_image`.
    """
    if recipe.environment.image is None:
        return ()
    image = pinned_image(recipe, recipes)
    where = read_reference(image.reference)
    return tuple(
        LockedFile(
            kind="file",
            key=layer_key(recipe, index),
            urls=(f"oci:{where.at(layer.digest)}",),
            sha256=layer.digest.removeprefix("sha256:"),
            size=layer.size,
        )
        for index, layer in enumerate(image.layers)
    )


def transform(recipe: EnvironmentRecipe, image: PinnedImage) -> Transform:
    """Describe how the root is made: the layers laid over each other, then the recipe's links."""
    return Transform(
        name=ROOT,
        parameters={
            "diff_ids": [layer.diff_id for layer in image.layers],
            "links": dict(recipe.links),
        },
    )


def sources(recipe: EnvironmentRecipe, image: PinnedImage) -> tuple[SourceInput, ...]:
    """Give the layers as sources; their places count up, so that their order is hashed."""
    return tuple(
        SourceInput(key=layer_key(recipe, index), place=_place(index), identity=layer.digest, unpack=LAYER)
        for index, layer in enumerate(image.layers)
    )


def _place(index: int) -> str:
    return f"layer-{index + 1:03}"
