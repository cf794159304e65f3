/* Roundings, and softmax in gemmlowp's fixed point. */
#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"

static int64_t floor_shift(int64_t value, int bits)
{
    const int64_t one = INT64_C(1) << bits;
    return value >= 0 ? value / one : -((-value + one - 1) / one);
}

/* a * b / 2^31, halves away from zero. */
static int32_t high(int32_t a, int32_t b)
{
    const int64_t product = (int64_t)a * b;
    return (int32_t)(product >= 0 ? (product + (INT64_C(1) << 30)) / (INT64_C(1) << 31)
                                  : (product + 1 - (INT64_C(1) << 30)) / (INT64_C(1) << 31));
}

static int32_t divided(int32_t value, int bits)
{
    const int64_t one = INT64_C(1) << bits, half = one >> 1, wide = value;
    return (int32_t)(wide >= 0 ? (wide + half) / one : -((-wide + half) / one));
}

int32_t arm_nn_requantize(const int32_t val, const int32_t multiplier, const int32_t shift)
{
#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
    const int64_t product = (int64_t)val * multiplier;
    return (int32_t)floor_shift(product + (INT64_C(1) << (30 - shift)), 31 - shift);
#else
    const int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    (void)floor_shift;
    return divided(high((int32_t)((uint32_t)val << left), multiplier), right);
#endif
}

static int32_t saturated(int64_t value)
{
    return (int32_t)(value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value);
}

/* exp(x) of x <= 0 with 5 integer bits; the result has none. */
static int32_t exponential(int32_t x)
{
    static const int32_t factors[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24, constant = 1895147668, third = 715827883;
    const int32_t part = (x & (quarter - 1)) - quarter, rest = (x - part) / quarter * quarter;
    const int32_t near = saturated((int64_t)part * 32 + (1 << 28));
    const int32_t square = high(near, near), cube = high(square, near), fourth = high(square, square);
    const int32_t tail = divided(high(saturated((int64_t)divided(fourth, 2) + cube), third) + square, 1);
    int32_t result = saturated((int64_t)constant + high(constant, saturated((int64_t)near + tail)));
    for (int bit = 0; bit < 7; bit++) {
        if (-rest & (quarter << bit)) {
            result = high(result, factors[bit]);
        }
    }
    return x == 0 ? INT32_MAX : result;
}

/* 1 / (1 + x) of x in [0, 1), by Newton's method. */
static int32_t reciprocal(int32_t x)
{
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t found = 1515870810 + high(half, -1010580540);
    for (int step = 0; step < 3; step++) {
        const int32_t rest = (1 << 29) - high(half, found);
        found = saturated((int64_t)found + saturated((int64_t)high(found, rest) * 4));
    }
    return saturated((int64_t)found * 2);
}

void arm_softmax_s8(const int8_t *input, const int32_t num_rows, const int32_t row_size, const int32_t mult,
                    const int32_t shift, const int32_t diff_min, int8_t *output)
{
    for (int row = 0; row < num_rows; row++, input += row_size, output += row_size) {
        int32_t largest = -128, sum = 0, zeros = 0, scale;
        for (int at = 0; at < row_size; at++) {
            largest = input[at] > largest ? input[at] : largest;
        }
        for (int at = 0; at < row_size; at++) {
            const int32_t below = input[at] - largest;
            sum += below >= diff_min ? divided(exponential(high(below * (1 << shift), mult)), 12) : 0;
        }
        while (!(((uint32_t)sum << zeros) & 0x80000000u)) {
            zeros++;
        }
        scale = reciprocal((int32_t)(((uint32_t)sum << zeros) - 0x80000000u));
        for (int at = 0; at < row_size; at++) {
            const int32_t below = input[at] - largest;
            int32_t code = -128;
            if (below >= diff_min) {
                code += divided(high(scale, exponential(high(below * (1 << shift), mult))), 12 - zeros + 23);
            }
            output[at] = (int8_t)(code > 127 ? 127 : code);
        }
    }
}
