"""Finding the prune rules that break a layer: its tree and smoke tests made with fewer of them, by delta debugging.

Every variant is planned from the layer's recipe with some of its rules, so that trees, and tests that passed, are kept
in the store like any other output, and a second search costs little. Nothing refers to them: `gc` takes them away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from layerlock.errors import (
    AbiViolation,
    LayerCheckFailed,
    LayerlockError,
    LayersOverlap,
    SmokeFailed,
    UsageError,
)
from layerlock.events import Tried
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import LayerRecipe, PruneRule
from layerlock.plan.functions import names_of
from layerlock.reproduce.bisect import causes, minimise
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import needed
from layerlock.workflows.planning import load_layer, recorded
from layerlock.workflows.variants import Locked, vary

JUDGED = (SmokeFailed, AbiViolation, LayerCheckFailed, LayersOverlap)
"""How files that are missing, or are there, show: a test fails, a library is not found, the tree is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guilty:
    """Rules of a recipe, by their places in it, that break the layer together, and none of them less.

    `patterns` are those of their patterns that do it, `failure` is what was said with these rules alone.
    """

    rules: tuple[int, ...]
    patterns: tuple[str, ...]
    failure: LayerlockError


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneChecked:
    """What a search came to; without `failure` the layer works with all of its rules.

    `undoubted` are rules, by their places, without which the layer cannot be assembled, so that nothing was tried
    without them. Where there is a failure and no group is guilty, the layer fails without all other rules too.
    `variants` counts the sets of rules that were tried.
    """

    layer: str
    rules: tuple[PruneRule, ...]
    failure: LayerlockError | None
    guilty: tuple[Guilty, ...]
    undoubted: tuple[int, ...]
    variants: int

    def names(self, indices: Collection[int]) -> tuple[str, ...]:
        """Give the names of rules."""
        return tuple(self.rules[index].name for index in indices)


def check_pruning(driver: Driver, layer: str, tests: Collection[str] = ()) -> PruneChecked:
    """Find every group of prune rules that breaks a layer, and the patterns of theirs that do it.

    `tests` names the smoke tests to hold the rules against; all of the recipe's, if it is empty.

    Raises:
        UsageError: the layer has no smoke tests, or none of a name.
        StaleLock: the recipes do not fit the lock.
        SmokeFailed: without any rule a test takes too long, which is not how the layer fails with them.
        LayerlockError: something else than the layer failed: a fetch, a package's build, a limit.
    """
    recipe = _with_tests(driver, driver.repository.layer(layer), tests)
    lock, plan, pins = load_layer(driver, layer)
    with driver.store.pin(needed(lock, driver.store)):
        search = _Search(driver, recipe, Locked(plan=plan, pins=pins, outputs=recorded(lock)))
        everything = tuple(str(index) for index in range(len(recipe.prune)))
        failure = search.attempt(_rules(recipe, everything))
        if failure is None:
            return search.result(None)
        nothing = search.attempt(())
        base: tuple[str, ...] = ()
        if nothing is not None and type(nothing) is not type(failure):
            # It is refused for another reason, which pruning takes away: as few rules as that needs stay.
            refused = type(nothing)
            base = minimise(
                everything, lambda some: not isinstance(search.assembled(_rules(recipe, some)), refused)
            )
            nothing = search.attempt(_rules(recipe, base))
        if nothing is not None:
            if not _alike(nothing, failure):
                raise nothing
            return search.result(failure, base=base)

        def fails(some: tuple[str, ...]) -> bool:
            return _alike(search.attempt(_rules(recipe, (*base, *some))), failure)

        doubted = tuple(name for name in everything if name not in base)
        groups = causes(doubted, fails)
        return search.result(
            failure, base=base, guilty=[_guilty(search, recipe, base, group) for group in groups]
        )


def _guilty(search: _Search, recipe: LayerRecipe, base: tuple[str, ...], group: tuple[str, ...]) -> Guilty:
    """Go on from rules to their patterns."""
    failure = search.attempt(_rules(recipe, (*base, *group)))
    assert failure is not None  # noqa: S101 -- a group is one that was seen to fail
    patterns = {
        f"{index}/{place}": pattern
        for index in group
        for place, pattern in enumerate(recipe.prune[int(index)].patterns)
    }

    def fails(some: tuple[str, ...]) -> bool:
        rules = (*_rules(recipe, base), *(_single(recipe, patterns, name) for name in some))
        return _alike(search.attempt(rules), failure)

    found = causes(tuple(patterns), fails) if len(patterns) > len(group) else (tuple(patterns),)
    return Guilty(
        rules=tuple(int(index) for index in group),
        patterns=tuple(patterns[name] for some in found for name in some),
        failure=failure,
    )


def _alike(found: LayerlockError | None, failure: LayerlockError) -> bool:
    """Say whether a variant fails as the layer does: a test that a busy machine slowed down tells nothing of others."""
    late = isinstance(failure, SmokeFailed) and failure.late
    return isinstance(found, type(failure)) and (isinstance(found, SmokeFailed) and found.late) == late


def _single(recipe: LayerRecipe, patterns: Mapping[str, str], name: str) -> PruneRule:
    index, _, _ = name.partition("/")
    return replace(recipe.prune[int(index)], patterns=(patterns[name],))


def _rules(recipe: LayerRecipe, names: Collection[str]) -> tuple[PruneRule, ...]:
    """Give rules in the order of the recipe."""
    return tuple(rule for index, rule in enumerate(recipe.prune) if str(index) in names)


def _with_tests(driver: Driver, recipe: LayerRecipe, tests: Collection[str]) -> LayerRecipe:
    known_tests = {test.name for test in recipe.smoke}
    location = driver.repository.locate("layers", recipe.name, "smoke")
    if not known_tests:
        raise UsageError(
            f"the layer `{recipe.name}` has no smoke tests, so that nothing shows what it needs",
            hint="add [[smoke]] tables to its recipe",
            location=location,
        )
    for name in sorted(set(tests) - known_tests):
        raise UsageError(
            f"the layer `{recipe.name}` has no smoke test `{name}`",
            hint=f"it has: {', '.join(sorted(known_tests))}",
            location=location,
        )
    return replace(recipe, smoke=tuple(test for test in recipe.smoke if not tests or test.name in tests))


@dataclass(slots=True)
class _Search:
    """Tries sets of rules, each once."""

    driver: Driver
    recipe: LayerRecipe
    locked: Locked
    tried: dict[tuple[PruneRule, ...], LayerlockError | None] = field(default_factory=dict)
    put_together: dict[tuple[PruneRule, ...], LayerlockError | None] = field(default_factory=dict)

    def attempt(self, rules: tuple[PruneRule, ...]) -> LayerlockError | None:
        """Make the layer with these rules and run its tests; give what went wrong with it, if anything did."""
        if rules not in self.tried:
            self.tried[rules] = failure = self._made(rules, tests=True)
            self._tell("works" if failure is None else "fails", rules)
        return self.tried[rules]

    def assembled(self, rules: tuple[PruneRule, ...]) -> LayerlockError | None:
        """Make what the tests would be run on; give why it is refused, if it is."""
        if rules not in self.put_together:
            self.put_together[rules] = failure = self._made(rules, tests=False)
            self._tell("can be assembled" if failure is None else "cannot be assembled", rules)
        return self.put_together[rules]

    def _tell(self, how: str, rules: tuple[PruneRule, ...]) -> None:
        names = ", ".join(dict.fromkeys(rule.name for rule in rules)) or "no rule at all"
        self.driver.emit(Tried(name=self.recipe.name, message=f"{how} with {names}"))

    def result(
        self,
        failure: LayerlockError | None,
        *,
        base: Collection[str] = (),
        guilty: Collection[Guilty] = (),
    ) -> PruneChecked:
        """Write down what was found."""
        return PruneChecked(
            layer=self.recipe.name,
            rules=self.recipe.prune,
            failure=failure,
            guilty=tuple(guilty),
            undoubted=tuple(int(index) for index in base),
            variants=len(self.tried.keys() | self.put_together.keys()),
        )

    def _made(self, rules: tuple[PruneRule, ...], *, tests: bool) -> LayerlockError | None:
        variant = vary(self.driver, replace(self.recipe, prune=rules), self.locked)
        names = names_of(self.recipe)
        target = names.smoke
        if not tests:
            # What lies at /opt is the layer with those that it is used with; a function is assembled by itself.
            opt = (item.name for item in variant.plan[target].inputs if item.mount == "/opt")
            target = names.tree if isinstance(self.recipe, FunctionLayer) else next(opt)
        try:
            variant.make(target)
        except JUDGED as error:
            return error
        return None
