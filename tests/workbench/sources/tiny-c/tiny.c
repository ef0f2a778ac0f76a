#include <math.h>
#include "tiny.h"

double tiny_growth(double rate, double years) { return exp(rate * years); }
int tiny_answer(void) { return 41; }
