"""Finding what a layer can do without: its smoke tests are watched, candidates left out and the tests run again.

Which of many candidates have to stay is found by delta debugging: the fewest groups with which the tests still pass.
What came of each trial is kept in the store, so that a run that was ended goes on where it stopped. The last word has
the layer itself, assembled, packed and tried with the rules that were found.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from layerlock.errors import OverBudget, SmokeFailed, UsageError
from layerlock.io.atomic import write_bytes
from layerlock.io.documents import read_table
from layerlock.io.edits import with_tables
from layerlock.io.repository import Repository
from layerlock.layer.globs import selected
from layerlock.layer.result import LayerZip, read_zip
from layerlock.layer.rules import FoundRule, keep_text_of, rules_of, text_of
from layerlock.layer.spare import Group, imported, module_name, opened, parts, unneeded, unopened
from layerlock.layer.usage import Holding, Used, read_holding, read_trace
from layerlock.model.derivation import Realisation
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import KeepRule, LayerRecipe, PruneRule
from layerlock.plan.functions import names_of
from layerlock.plan.layers import SMOKE
from layerlock.plan.resolve import Plan
from layerlock.plan.trials import OPT, Trial, trial, whole
from layerlock.reproduce.bisect import minimise
from layerlock.workflows.building import realise_targets
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import needed
from layerlock.workflows.planning import load_layer, recorded
from layerlock.workflows.trials import Trials
from layerlock.workflows.variants import Locked, vary


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Bytes of a layer, unpacked and zipped."""

    unzipped: int
    zipped: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hollow:
    """A package that is imported and of which nothing is called: an empty one in its place serves as well.

    `statements` are the imports: place (`package/module.py:12`) and text. Bytes as in a rule.
    """

    package: str
    statements: tuple[tuple[str, str], ...]
    bytes: int
    packed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """A candidate that the tests turned out to need, and what they said without it, where it was left out by itself."""

    called: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shrunk:
    """What a search came to: the rules, what they leave, and what only an edit of somebody's source could leave out.

    `metadata` are files of installers' records that are read, and stay. `after` is what the layer weighs that was made
    with the rules; its tests passed. `too_large` says so where it is over Lambda's limit all the same, with the layers
    that it is used with. `trials` were asked for, `run` of them ran.
    """

    layer: str
    rules: tuple[FoundRule, ...]
    hollow: tuple[Hollow, ...]
    needed: tuple[Needed, ...]
    metadata: tuple[str, ...]
    before: Sizes
    after: Sizes
    too_large: str
    trials: int
    run: int


def shrink(driver: Driver, layer: str) -> Shrunk:
    """Find prune rules for a layer, over those that its recipe has.

    Raises:
        UsageError: it is a function, or has no smoke tests.
        StaleLock: the recipes do not fit the lock.
        SmokeFailed: the tests fail with everything there.
        LayerlockError: a fetch or a build failed.
    """
    recipe = _shrinkable(driver, layer)
    lock, plan, pins = load_layer(driver, layer)
    locked = Locked(plan=plan, pins=pins, outputs=recorded(lock))
    with driver.store.pin(needed(lock, driver.store)):
        names = names_of(recipe)
        plan = _with_trials(driver, recipe, plan)
        targets = tuple(dict.fromkeys((names.tree, names.zip, *_inputs(driver, recipe))))
        made = realise_targets(driver, plan, targets, pins, locked.outputs)
        zipped = _zip(driver, recipe, made)
        tree, opt = (
            driver.store.held_tree(made[each].output) / "tree"
            for each in (names.tree, _at_opt(driver, recipe))
        )
        modules = driver.repository.runtime(recipe.layer.runtime).search.modules
        holding = read_holding(tree, zipped.path, modules)
        trials = Trials(driver=driver, recipe=recipe, holding=holding, planned=plan.planned, made=made)
        search = _Search(trials, opt, zipped, _watched(trials))
        search.run()
        hollow = search.hollow()
        rules = rules_of(trials.gone, holding, search.held, {rule.name for rule in recipe.prune})
        after, too_large = _proven(trials, locked, rules)
    return Shrunk(
        layer=layer,
        rules=rules,
        hollow=hollow,
        needed=tuple(
            Needed(called=group.called, why=trials.reasons.get(group.name, ""))
            for group in sorted(search.stays, key=lambda group: group.name)
        ),
        metadata=search.metadata(),
        before=Sizes(unzipped=zipped.unzipped, zipped=zipped.size),
        after=after,
        too_large=too_large,
        trials=trials.tried,
        run=trials.run,
    )


class _Search:
    """One search, kind by kind; what can go is in `trials.gone`, what cannot in `stays`."""

    def __init__(self, trials: Trials, opt: Path, zipped: LayerZip, used: Used) -> None:
        self.trials = trials
        self.held = _held(trials.recipe, trials.holding)
        self.kept = self.held | _renamed(trials.recipe, trials.holding)
        self.stays: list[Group] = []
        self._opt = opt
        self._zipped = zipped
        self._used = used
        self._projects = _projects(opt, trials.holding)
        self._imported: tuple[Group, ...] = ()

    def run(self) -> None:
        """Try every kind of candidate."""
        trials, used, kept = self.trials, self._used, self.kept
        holding = trials.holding
        self._reduce(tuple(unneeded(holding, used, kept, self._projects)))
        self._imported = tuple(imported(holding, used, kept, self._projects, self._own()))
        trials.tell(f"{len(self._imported)} packages that are imported are left out, each by itself")
        alone = trials.each(self._imported)
        self.stays += [group for group in self._imported if group not in alone]
        self._reduce(tuple(alone))
        self._reduce(tuple(unopened(holding, used, self._staying(), self._gone(), self._users())))
        data = tuple(opened(holding, used, kept, self._gone()))
        needed = self._reduce(data)
        while whole := [group for group in needed if len(group.files) > 1]:
            for group in whole:
                self.stays.remove(group)
            needed = self._reduce(tuple(part for group in whole for part in parts(group)))

    def hollow(self) -> tuple[Hollow, ...]:
        """Find packages that have to be there, and of which nothing is called."""
        trials, holding = self.trials, self.trials.holding
        gone = self._without()
        doubted = [group for group in self._imported if group in self.stays]
        trials.tell(f"empty packages are put in the place of {len(doubted)} others, one at a time")
        outcomes = trials.all_of(
            [Trial(without=gone, stubs=(group.called,), trace=True) for group in doubted]
        )
        left = [set(group.files) - self._gone() for group in doubted]
        found = [
            Hollow(
                package=group.called,
                # Those first that name it; a call of __import__ need not.
                statements=tuple(
                    sorted(self._statements(group.called), key=lambda each: group.called not in each[1])
                ),
                bytes=sum(holding.files[path].size for path in files),
                packed=sum(holding.files[path].packed for path in files),
            )
            for group, files, outcome in zip(doubted, left, outcomes, strict=True)
            if outcome.works and not any(line.startswith("call\t") for line in outcome.trace)
        ]
        return tuple(sorted(found, key=lambda each: (-each.bytes, each.package)))

    def metadata(self) -> tuple[str, ...]:
        """Give the files of installers' records that were read, of what stays."""
        left = self._used.files - self._gone()
        return tuple(sorted(path for path in left if re.search(r"\.(?:dist|egg)-info/", path)))

    def _reduce(self, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        """Leave out as many groups as the tests let go, and give those that have to stay."""
        trials = self.trials
        if not groups:
            return ()
        by_name = {group.name: group for group in groups}

        def enough(names: tuple[str, ...]) -> bool:
            return trials.works([group for group in groups if group.name not in names])

        stay: tuple[str, ...] = ()
        if not enough(()):
            stay = minimise(tuple(by_name), enough, trials.first)
        staying = tuple(by_name[name] for name in stay)
        self.stays += staying
        trials.gone += tuple(group for group in groups if group.name not in stay)
        return staying

    def _gone(self) -> frozenset[str]:
        return frozenset(path for group in self.trials.gone for path in group.files)

    def _without(self) -> tuple[str, ...]:
        files = self.trials.holding.files
        return tuple(sorted(each for path in self._gone() for each in (path, *files[path].also)))

    def _staying(self) -> frozenset[str]:
        """Give what stays by a rule, and what the tests need though they were not seen to open it.

        A package that was imported is needed as such; which of its folders are is yet to be seen.
        """
        groups = [group for group in self.stays if group not in self._imported]
        return self.kept.union(path for group in groups for path in group.files)

    def _own(self) -> frozenset[str]:
        """Give the packages that the tests themselves import."""
        return frozenset(s.top for s in self._used.statements if s.file.startswith(f"{SMOKE}/"))

    def _users(self) -> Mapping[str, Collection[str]]:
        """Give the objects that need each object of the layer, as its assembly found it."""
        found: dict[str, set[str]] = {}
        for row in self._zipped.report.get("libraries", ()):
            for need in row["needs"]:
                path = str(need["found"]).removeprefix("/opt/")
                found.setdefault(path, set()).add(str(row["file"]))
        return found

    def _statements(self, package: str) -> Iterable[tuple[str, str]]:
        holding, gone = self.trials.holding, self._gone()
        for statement in self._used.statements:
            path = statement.file.removeprefix("/opt/")
            site = holding.site(path)
            if (
                statement.top != package
                or not site
                or path in gone
                or module_name(holding.top(path)) == package
            ):
                continue
            try:
                lines = (self._opt / path).read_text(encoding="utf-8", errors="replace").split("\n")
                text = lines[statement.line - 1].strip()
            except (OSError, IndexError):
                continue
            # Where compiled code imports, the frame is that of whoever called it.
            if "import" in text:
                yield f"{path[len(site) + 1 :]}:{statement.line}", text


def _shrinkable(driver: Driver, layer: str) -> LayerRecipe:
    recipe = driver.repository.layer(layer)
    if isinstance(recipe, FunctionLayer):
        raise UsageError(f"`{layer}` is a function; layers can be shrunk", hint="name one of its layers")
    if not recipe.smoke:
        raise UsageError(
            f"the layer `{layer}` has no smoke tests, so that nothing shows what it needs",
            hint="add [[smoke]] tables to its recipe",
            location=driver.repository.locate("layers", layer, "smoke"),
        )
    return recipe


def _with_trials(driver: Driver, recipe: LayerRecipe, plan: Plan) -> Plan:
    """Add to a plan what stands at `/opt` in trials, where that is more than the layer."""
    below = whole(recipe, driver.repository, driver.guest_code)
    if below is None:
        return plan
    return Plan(
        derivations=(*plan.derivations, below),
        planned={**plan.planned, below.name: below.hash(plan.planned)},
    )


def _watched(trials: Trials) -> Used:
    """Run the tests with everything there, and watch them."""
    outcome = trials.outcome(Trial(trace=True))
    if not outcome.works:
        raise SmokeFailed(
            f"the smoke tests of {trials.recipe.name} fail with everything there: {outcome.why}",
            hint="mend them first: what they need shows only where they pass",
        )
    used = read_trace(outcome.trace, trials.holding)
    count = len(trials.holding.files)
    trials.tell(f"its tests use {len(used.files):,} of {count:,} files")
    return used


def _held(recipe: LayerRecipe, holding: Holding) -> frozenset[str]:
    """Give the files that the recipe's keep rules hold back, whatever others select."""
    patterns = tuple(pattern for rule in recipe.keep for pattern in rule.patterns)
    return frozenset(path for path in holding.files if selected(path, patterns))


def _renamed(recipe: LayerRecipe, holding: Holding) -> frozenset[str]:
    """Give the files that assembly edits by name: a rule that took one would make the recipe's other keys wrong."""
    stems = tuple(name.partition(".so")[0] for name in recipe.layer.private)
    renamed = (path for path in holding.files if stems and posixpath.basename(path).startswith(stems))
    return frozenset((*renamed, *recipe.layer.lower))


def _projects(opt: Path, holding: Holding) -> Mapping[str, tuple[str, ...]]:
    """Read which packages projects have, from the `top_level.txt` that many wheels hold."""
    found = {}
    for top in holding.tops:
        listed = opt / top / "top_level.txt"
        if top.endswith(".dist-info") and listed.is_file():
            names = tuple(sorted(listed.read_text(encoding="utf-8", errors="replace").split()))
            project = posixpath.basename(top).removesuffix(".dist-info").rpartition("-")[0]
            if names:
                found[project.lower()] = names
    return found


def _proven(trials: Trials, locked: Locked, rules: Sequence[FoundRule]) -> tuple[Sizes, str]:
    """Make the layer with the rules, and run its tests on it; say if it is over Lambda's limit still."""
    driver, recipe = trials.driver, trials.recipe
    more = (PruneRule(name=rule.name, patterns=rule.patterns, reason=rule.reason) for rule in rules)
    keep = (KeepRule(patterns=rule.keep) for rule in rules if rule.keep)
    changed = replace(recipe, prune=(*recipe.prune, *more), keep=(*recipe.keep, *keep))
    names = names_of(recipe)
    variant = vary(driver, changed, locked)
    zipped = _zip(driver, recipe, variant.make(names.tree, names.zip))
    too_large = ""
    try:
        variant.make(names.smoke)
    except OverBudget as error:
        # So says the putting together of all the layers, before any test. Trials ask for no limit.
        too_large = error.message.partition("\n")[0].partition(": ")[2]
        variant = vary(driver, changed, locked)
        plan = _with_trials(driver, changed, variant.plan)
        made = replace(variant, plan=plan).make(*_inputs(driver, changed))
        outcome = replace(trials, recipe=changed, planned=plan.planned, made=made).outcome(Trial())
        if not outcome.works:
            raise SmokeFailed(
                f"the smoke tests of {recipe.name} fail with the rules found: {outcome.why}"
            ) from None
    return Sizes(unzipped=zipped.unzipped, zipped=zipped.size), too_large


def _at_opt(driver: Driver, recipe: LayerRecipe) -> str:
    """Give the name of what stands at `/opt` in trials: the layer, or it and those that it is used with."""
    found = trial(recipe, driver.repository, driver.guest_code, Trial())
    return next(item.name for item in found.inputs if item.mount == OPT)


def _inputs(driver: Driver, recipe: LayerRecipe) -> tuple[str, ...]:
    """Give the names of what trials take in."""
    found = trial(recipe, driver.repository, driver.guest_code, Trial())
    return tuple(item.name for item in found.inputs)


def _zip(driver: Driver, recipe: LayerRecipe, made: Mapping[str, Realisation]) -> LayerZip:
    names = names_of(recipe)
    store = driver.store
    return read_zip(
        recipe.name, store.held_tree(made[names.zip].output), store.held_tree(made[names.tree].output)
    )


def check_writable(repository: Repository, layer: str) -> None:
    """Make sure that rules can be added to a layer's own recipe.

    Raises:
        UsageError: its rules are those of the layer that it is based on.
    """
    document = read_table(repository.root / repository.recipe_file("layers", layer), layer)
    base = repository.layer(layer).layer.base
    if base is not None and "prune" not in document:
        raise UsageError(
            f"the prune rules of {layer} are those of {base}, and rules of its own would stand in their place",
            hint=f"shrink {base}, or copy its rules into the recipe of {layer} first",
            location=repository.locate("layers", layer, "layer.base"),
        )


def write_rules(repository: Repository, found: Shrunk) -> str:
    """Add the rules to the layer's recipe, after those that it has; give the file's name."""
    shown = repository.recipe_file("layers", found.layer)
    path = repository.root / shown
    after = ("keep", "allow_build_paths", "smoke", "smoke_tools")
    text = path.read_text(encoding="utf-8")
    text = with_tables(text, "prune", [text_of(rule) for rule in found.rules], after, shown)
    if keep := [keep_text_of(rule) for rule in found.rules if rule.keep]:
        text = with_tables(text, "keep", keep, after[1:], shown)
    write_bytes(path, text.encode())
    return shown
