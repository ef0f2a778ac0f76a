"""Import every module of a list, but for exceptions, each of which has a reason and must still fail.

Arguments: a file with one module a line, and a file with `module: reason` lines.
"""

import importlib
import sys
import warnings


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def attempt(name):
    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


warnings.simplefilter("ignore")
modules = lines(sys.argv[1])
exceptions = dict(line.split(": ", 1) for line in lines(sys.argv[2]))
problems = []
imported = 0
for name in modules:
    failure = attempt(name)
    if failure is None and name in exceptions:
        problems.append(f"{name}: imported, although listed as an exception ({exceptions[name]})")
    elif failure is not None and name not in exceptions:
        problems.append(f"{name}: {failure}")
    imported += failure is None
problems += [f"{name}: an exception that the list of modules lacks" for name in exceptions if name not in modules]
print(f"{imported} of {len(modules)} public modules imported, {len(exceptions)} exceptions")
if problems or imported == 0:
    sys.exit("\n".join(problems) or "nothing was imported")
