#include <stdexcept>
#include <string>
#include "tiny.h"

extern "C" int tiny_checked(int expected) {
    try {
        if (tiny_answer() != expected) throw std::runtime_error("expected " + std::to_string(expected));
        return 0;
    } catch (const std::exception &) {
        return 1;
    }
}
