import marshal
import pathlib

import tiny

# The bytecode beside the module is what its Python makes of it, whatever order it was written in.
module = pathlib.Path(tiny.__file__)
bytecode = pathlib.Path(tiny.__cached__).read_bytes()
assert marshal.loads(bytecode[16:]) == compile(module.read_bytes(), str(module), "exec", dont_inherit=True)
assert [tiny.known(word) for word in (None, ..., "two", "third", "none")] == [True, True, True, True, False]

assert tiny.c.tiny_answer() == 42
assert tiny.cpp.tiny_checked(42) == 0
assert abs(tiny.c.tiny_growth(0.5, 2.0) - 2.718281828459045) < 1e-12
assert abs(tiny.total([1.5, 2.25]) - 3.75) < 1e-9
