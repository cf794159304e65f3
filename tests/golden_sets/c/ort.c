/* ONNX Runtime's arithmetic: one float32 multiplication, rounded to nearest, halves to even. */
#include <math.h>

#include "kernels.h"

static float rounded(float value)
{
    if (fault == TRUNCATION) {
        return truncf(value);
    }
    return fault == WRONG_TIE_RULE ? roundf(value) : rintf(value);
}

/* Clamped before the rounding, so that no float is too large for an integer. */
static int8_t code_of(float value, int zero)
{
    const float low = (float)(-128 - zero), high = (float)(127 - zero);
    if (fault != MISSING_CLAMP) {
        value = value < low ? low : value > high ? high : value;
    }
    return clamp((int64_t)rounded(value) + zero);
}

int8_t requantize(int32_t acc, const rescaling *by, int channel, int zero)
{
    const int at = by->count == 1 ? 0 : channel;
    return code_of((float)acc * ((const float *)by->multiplier)[at], zero);
}

int8_t add_codes(int8_t a, int8_t b, const add_layer *l)
{
    const float *r = (const float *)l->numbers;
    return clamp((int64_t)rounded(fmaf((float)a, r[0], fmaf((float)b, r[1], r[2]))));
}

int8_t rescale_code(int8_t code, const concat_part *part)
{
    return code_of((float)(code - part->x.zero) * part->x.scale / part->y.scale, part->y.zero);
}

int8_t average_codes(const int8_t *codes, int count, const pool_layer *l)
{
    float sum = 0, mean, shifted;
    for (int index = 0; index < count; index++) {
        const float real = (float)(codes[index] - l->x.zero) * l->x.scale;
        sum += real;
    }
    mean = sum / (float)count;
    shifted = mean / l->y.scale + (float)l->y.zero;
    return clamp((int64_t)rounded(shifted));
}
