/* value * multiplier * 2^(shift - 31), rounded once or twice. */
#ifndef ARM_NNSUPPORTFUNCTIONS_H
#define ARM_NNSUPPORTFUNCTIONS_H

#include <stdint.h>

int32_t arm_nn_requantize(const int32_t val, const int32_t multiplier, const int32_t shift);

#endif
