/* TFLite's reference arithmetic, after the formulas of gemmlowp: two roundings. shift: total, to the right. */
#include "kernels.h"

static int32_t doubling_high_mul(int32_t a, int32_t b)
{
    const int64_t product = (int64_t)a * b;
    const int64_t nudge = product >= 0 ? (INT64_C(1) << 30) : 1 - (INT64_C(1) << 30);
    return (int32_t)((product + nudge) / (INT64_C(1) << 31));
}

static int32_t divide_by_power(int32_t value, int exponent)
{
    const int32_t mask = (int32_t)((INT64_C(1) << exponent) - 1);
    const int32_t remainder = value & mask;
    int32_t threshold = mask >> 1;
    if (fault == TRUNCATION) {
        return value / (int32_t)(INT64_C(1) << exponent);
    }
    if (value < 0 && fault != WRONG_TIE_RULE) {
        threshold++; /* halves away from zero; without it they go up */
    }
    return (value >> exponent) + (remainder > threshold);
}

static int32_t scaled(int32_t value, int32_t multiplier, int32_t shift)
{
    const int left = shift < 31 ? 31 - shift : 0, right = shift > 31 ? shift - 31 : 0;
    return divide_by_power(doubling_high_mul((int32_t)((uint32_t)value << left), multiplier), right);
}

int8_t requantize(int32_t acc, const rescaling *by, int channel, int zero)
{
    const int at = by->count == 1 ? 0 : channel;
    return clamp((int64_t)scaled(acc, ((const int32_t *)by->multiplier)[at], by->shift[at]) + zero);
}

int8_t add_codes(int8_t a, int8_t b, const add_layer *l)
{
    const int32_t *m = (const int32_t *)l->numbers;
    const int32_t left = (a - l->left.zero) * (1 << 20), right = (b - l->right.zero) * (1 << 20);
    const int32_t sum = scaled(left, m[0], l->shifts[0]) + scaled(right, m[1], l->shifts[1]);
    return clamp((int64_t)scaled(sum, m[2], l->shifts[2]) + l->y.zero);
}

int8_t rescale_code(int8_t code, const concat_part *part)
{
    return requantize(code - part->x.zero, &part->by, part->index, part->y.zero);
}

int8_t average_codes(const int8_t *codes, int count, const pool_layer *l)
{
    int32_t sum = 0;
    (void)l; /* input and output have one scale */
    for (int index = 0; index < count; index++) {
        sum += codes[index];
    }
    return clamp(sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count);
}
