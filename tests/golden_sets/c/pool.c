#include "kernels.h"

#define LARGEST 256

/* The codes of one window that lie inside the image, in row-major order; returns how many. */
static int gather(const pool_layer *l, int n, int c, int y, int x, int8_t *codes)
{
    const window *k = &l->window;
    int count = 0;
    for (int row = 0; row < k->kernel_h; row++) {
        for (int col = 0; col < k->kernel_w; col++) {
            const int iy = y * k->stride_h + row * k->dilation_h - k->top;
            const int ix = x * k->stride_w + col * k->dilation_w - k->left;
            if (iy >= 0 && iy < l->in.h && ix >= 0 && ix < l->in.w) {
                codes[count++] = l->input[((n * l->in.c + c) * l->in.h + iy) * l->in.w + ix];
            }
        }
    }
    return count;
}

static int8_t largest(const int8_t *codes, int count)
{
    int8_t found = -128;
    for (int index = 0; index < count; index++) {
        found = codes[index] > found ? codes[index] : found;
    }
    return found;
}

static void pool(const pool_layer *l, int8_t *output, int maximum)
{
    int8_t codes[LARGEST];
    for (int n = 0; n < l->out.n; n++) {
        for (int c = 0; c < l->out.c; c++) {
            for (int y = 0; y < l->out.h; y++) {
                for (int x = 0; x < l->out.w; x++) {
                    const int count = gather(l, n, c, y, x, codes);
                    *output++ = maximum ? largest(codes, count) : average_codes(codes, count, l);
                }
            }
        }
    }
}

void max_pool(const pool_layer *l, int8_t *output)
{
    pool(l, output, 1);
}

void average_pool(const pool_layer *l, int8_t *output)
{
    pool(l, output, 0);
}

void global_average_pool(const pool_layer *l, int8_t *output)
{
    const int count = l->in.h * l->in.w;
    for (int plane = 0; plane < l->in.n * l->in.c; plane++) {
        int32_t sum = 0;
        for (int index = 0; index < count; index++) {
            sum += l->input[plane * count + index] - l->x.zero;
        }
        *output++ = requantize(sum, &l->by, 0, l->y.zero);
    }
}
