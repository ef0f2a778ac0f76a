"""The verbs there are, one module each; a module is loaded when its verb is asked for."""

from __future__ import annotations

VERBS: dict[str, str] = {
    "build": "build layers or packages",
    "new": "start a recipe from the index, pinned and ready to build",
    "lock": "pin every source of a layer, and write its lock",
    "resolve": "find the wheels of a package that states ranges",
    "record": "build a layer and write the outputs into its lock",
    "invoke": "invoke a function as Lambda would, and watch it over many invocations",
    "fetch": "bring every source of a layer or package into the store",
    "show": "list layers and packages, or what one of them is made of",
    "diff": "say what differs between two zips, trees or locks, and why",
    "audit": "look for what is wrong with a layer's pins, licences, sources and contents",
    "update": "move pins to newer releases, in the recipe and the locks",
    "check": "rebuild what was built under other circumstances, and compare",
    "prune-check": "find the prune rules that break a layer",
    "shrink": "find what a layer can do without, and write prune rules for it",
    "history": "list the past locks of a layer, out of git",
    "reproduce": "build a past layer again, exactly, and compare",
    "archive": "write everything that a layer is made from into a folder",
    "cache": "share what was built: push to and pull from binary caches, and look into them",
    "owner": "say which package and derivation a file of a layer comes from",
    "why": "say what needs a file, a library, a package or a source of a layer",
    "graph": "draw what a layer is made of, for Graphviz or Mermaid",
    "size": "say what of a layer weighs how much, and what it grew by",
    "log": "print the log of a build",
    "shell": "open a shell in the sandbox of a build",
    "hash": "print the hash of a file or folder, as `nix hash path` does",
    "sbom": "write a layer's bill of materials",
    "pylock": "write a package's wheels as a pylock.toml",
    "attest": "sign where a layer's zip comes from",
    "verify-attestation": "check a signed statement of where a zip comes from",
    "publish": "publish a layer's zip to AWS, if its bytes are new there",
    "arn": "print the ARNs of a layer's published versions",
    "template": "write a SAM, Serverless, Terraform or CDK template that uses a layer",
    "gc": "remove from the store what nothing needs any more",
    "verify": "hash everything in the store anew",
    "scheduler": "start the scheduler of a cluster",
    "worker": "build for a cluster's scheduler",
    "attach": "come back to a build that was left to a cluster",
    "doctor": "look at what builds need of this machine, with remedies",
    "completion": "print the completion script of a shell",
    "schema": "print the JSON Schema of recipes",
}
"""Summaries by verb, in the order of the help."""

INTERNAL = frozenset({"rebuild"})
"""Verbs that the driver itself starts; no help lists them."""
