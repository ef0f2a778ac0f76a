import tiny

assert tiny.c.tiny_answer() == 42
assert tiny.cpp.tiny_checked(42) == 0
assert abs(tiny.c.tiny_growth(0.5, 2.0) - 2.718281828459045) < 1e-12
assert abs(tiny.total([1.5, 2.25]) - 3.75) < 1e-9
