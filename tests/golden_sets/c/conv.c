#include <stddef.h>

#include "kernels.h"

int fault = NO_FAULT;

int8_t clamp(int64_t value)
{
    if (fault == MISSING_CLAMP) {
        return (int8_t)(uint8_t)(value & 255);
    }
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

static int weight_at(const conv_layer *l, int oc, int ic, int row, int col)
{
    const int inner = l->in.c / l->group;
    if (fault == SWAPPED_WEIGHT_ORDER) {
        if (inner == 1) { /* 1HWC */
            return l->weight[(row * l->window.kernel_w + col) * l->out.c + oc];
        }
        return l->weight[((oc * l->window.kernel_h + row) * l->window.kernel_w + col) * inner + ic]; /* OHWI */
    }
    return l->weight[((oc * inner + ic) * l->window.kernel_h + row) * l->window.kernel_w + col];
}

static int32_t accumulate(const conv_layer *l, int n, int oc, int y, int x)
{
    const window *k = &l->window;
    const int inner = l->in.c / l->group, group = oc / (l->out.c / l->group);
    const int swapped = fault == STRIDE_TAKEN_FOR_DILATION;
    const int stride_h = swapped ? k->dilation_h : k->stride_h, stride_w = swapped ? k->dilation_w : k->stride_w;
    const int dilation_h = swapped ? k->stride_h : k->dilation_h, dilation_w = swapped ? k->stride_w : k->dilation_w;
    const int top = k->top - (fault == OFF_BY_ONE_PAD), left = k->left - (fault == OFF_BY_ONE_PAD);
    const int zero = fault == MISSING_INPUT_ZERO_POINT ? 0 : l->x.zero;
    int32_t acc = 0;
    for (int ic = 0; ic < inner; ic++) {
        for (int row = 0; row < k->kernel_h; row++) {
            for (int col = 0; col < k->kernel_w; col++) {
                const int iy = y * stride_h + row * dilation_h - top, ix = x * stride_w + col * dilation_w - left;
                const int inside = iy >= 0 && iy < l->in.h && ix >= 0 && ix < l->in.w;
                const int place = ((n * l->in.c + group * inner + ic) * l->in.h + iy) * l->in.w + ix;
                int code = inside ? l->input[place] : l->x.zero;
                if (!inside && fault == PADDING_WITH_0) {
                    code = 0;
                }
                acc += (code - zero) * weight_at(l, oc, ic, row, col);
            }
        }
    }
    return acc;
}

void conv(const conv_layer *l, int8_t *output)
{
    for (int n = 0; n < l->out.n; n++) {
        for (int oc = 0; oc < l->out.c; oc++) {
            for (int y = 0; y < l->out.h; y++) {
                for (int x = 0; x < l->out.w; x++) {
                    int32_t acc = accumulate(l, n, oc, y, x);
                    if (l->bias != NULL && fault != MISSING_BIAS) {
                        acc += l->bias[fault == NEIGHBOUR_BIAS ? (oc + 1) % l->out.c : oc];
                    }
                    if (fault == INT16_ACCUMULATOR) {
                        acc = (int16_t)(uint16_t)acc;
                    }
                    *output++ = requantize(acc, &l->by, fault == PER_TENSOR_SCALE ? 0 : oc, l->y.zero);
                }
            }
        }
    }
}
