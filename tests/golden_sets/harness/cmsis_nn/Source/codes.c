/* Pairs of codes, pools, and what only moves. */
#include <stddef.h>
#include <string.h>

#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"

static int8_t limited(int32_t value, int32_t least, int32_t most)
{
    return (int8_t)(value < least ? least : value > most ? most : value);
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t a_mult, const int32_t a_shift, const int32_t b_offset,
                                           const int32_t b_mult, const int32_t b_shift, const int32_t left_shift,
                                           int8_t *output, const int32_t out_offset, const int32_t out_mult,
                                           const int32_t out_shift, const int32_t least, const int32_t most,
                                           const int32_t size)
{
    for (int at = 0; at < size; at++) {
        const int32_t left = arm_nn_requantize((a[at] + a_offset) * (1 << left_shift), a_mult, a_shift);
        const int32_t right = arm_nn_requantize((b[at] + b_offset) * (1 << left_shift), b_mult, b_shift);
        output[at] = limited(arm_nn_requantize(left + right, out_mult, out_shift) + out_offset, least, most);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *a, const int8_t *b, const int32_t a_offset,
                                           const int32_t b_offset, int8_t *output, const int32_t out_offset,
                                           const int32_t out_mult, const int32_t out_shift, const int32_t least,
                                           const int32_t most, const int32_t size)
{
    for (int at = 0; at < size; at++) {
        const int32_t product = (a[at] + a_offset) * (b[at] + b_offset);
        output[at] = limited(arm_nn_requantize(product, out_mult, out_shift) + out_offset, least, most);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

static void pool(const cmsis_nn_pool_params *p, const cmsis_nn_dims *x, const int8_t *input, const cmsis_nn_dims *f,
                 const cmsis_nn_dims *y, int8_t *output, int largest)
{
    for (int n = 0; n < x->n; n++) {
        for (int place = 0; place < y->h * y->w * y->c; place++) {
            const int c = place % y->c, col = place / y->c % y->w, row = place / y->c / y->w;
            int32_t found = -128, sum = 0, count = 0;
            for (int tap = 0; tap < f->h * f->w; tap++) {
                const int iy = row * p->stride.h + tap / f->w - p->padding.h;
                const int ix = col * p->stride.w + tap % f->w - p->padding.w;
                if (iy >= 0 && iy < x->h && ix >= 0 && ix < x->w) {
                    const int code = input[((n * x->h + iy) * x->w + ix) * x->c + c];
                    found = code > found ? code : found;
                    sum += code;
                    count++;
                }
            }
            if (!largest) {
                found = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
            }
            *output++ = limited(found, p->activation.min, p->activation.max);
        }
    }
}

arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *ctx, const cmsis_nn_pool_params *p,
                                    const cmsis_nn_dims *x, const int8_t *input, const cmsis_nn_dims *f,
                                    const cmsis_nn_dims *y, int8_t *output)
{
    (void)ctx;
    pool(p, x, input, f, y, output, 1);
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *ctx, const cmsis_nn_pool_params *p, const cmsis_nn_dims *x,
                                   const int8_t *input, const cmsis_nn_dims *f, const cmsis_nn_dims *y, int8_t *output)
{
    if (ctx->buf == NULL || ctx->size < arm_avgpool_s8_get_buffer_size(y->w, x->c)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    memset(ctx->buf, 0x5a, (size_t)ctx->size);
    pool(p, x, input, f, y, output, 0);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_avgpool_s8_get_buffer_size(const int width, const int channels)
{
    (void)width;
    return 4 * channels;
}

/* Rows of `size` elements, each to the place behind `skip` elements of rows of `out` elements. */
static void join(const int8_t *input, int rows, int size, int8_t *output, int out, int skip)
{
    for (int row = 0; row < rows; row++) {
        memcpy(output + row * out + skip, input + row * size, (size_t)size);
    }
}

void arm_concatenation_s8_x(const int8_t *input, const uint16_t x, const uint16_t y, const uint16_t z,
                            const uint16_t w, int8_t *output, const uint16_t output_x, const uint32_t offset)
{
    join(input, y * z * w, x, output, output_x, (int)offset);
}

void arm_concatenation_s8_y(const int8_t *input, const uint16_t x, const uint16_t y, const uint16_t z,
                            const uint16_t w, int8_t *output, const uint16_t output_y, const uint32_t offset)
{
    join(input, z * w, x * y, output, x * output_y, (int)offset * x);
}

void arm_concatenation_s8_z(const int8_t *input, const uint16_t x, const uint16_t y, const uint16_t z,
                            const uint16_t w, int8_t *output, const uint16_t output_z, const uint32_t offset)
{
    join(input, w, x * y * z, output, x * y * output_z, (int)offset * x * y);
}

void arm_concatenation_s8_w(const int8_t *input, const uint16_t x, const uint16_t y, const uint16_t z,
                            const uint16_t w, int8_t *output, const uint32_t offset)
{
    join(input, 1, x * y * z * w, output, 0, (int)offset * x * y * z);
}

void arm_reshape_s8(const int8_t *input, int8_t *output, const uint32_t size)
{
    memcpy(output, input, size);
}

arm_cmsis_nn_status arm_transpose_s8(const int8_t *input, int8_t *const output, const cmsis_nn_dims *const x,
                                     const cmsis_nn_dims *const y, const cmsis_nn_transpose_params *const p)
{
    const int32_t from[4] = {x->n, x->h, x->w, x->c}, to[4] = {y->n, y->h, y->w, y->c};
    int32_t at[4];
    if (p->num_dims != 4) {
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    }
    for (int axis = 0; axis < 4; axis++) {
        if (to[axis] != from[p->permutations[axis]]) {
            return ARM_CMSIS_NN_ARG_ERROR;
        }
    }
    for (int place = 0; place < from[0] * from[1] * from[2] * from[3]; place++) {
        at[3] = place % from[3];
        at[2] = place / from[3] % from[2];
        at[1] = place / from[3] / from[2] % from[1];
        at[0] = place / from[3] / from[2] / from[1];
        const uint32_t *turned = p->permutations;
        output[((at[turned[0]] * to[1] + at[turned[1]]) * to[2] + at[turned[2]]) * to[3] + at[turned[3]]] = input[place];
    }
    return ARM_CMSIS_NN_SUCCESS;
}

arm_cmsis_nn_status arm_pad_s8(const int8_t *input, int8_t *output, const int8_t value, const cmsis_nn_dims *x,
                               const cmsis_nn_dims *before, const cmsis_nn_dims *after)
{
    const int h = x->h + before->h + after->h, w = x->w + before->w + after->w, c = x->c + before->c + after->c;
    memset(output, value, (size_t)((x->n + before->n + after->n) * h * w * c));
    for (int row = 0; row < x->n * x->h * x->w; row++) {
        const int n = row / x->w / x->h + before->n, iy = row / x->w % x->h + before->h, ix = row % x->w + before->w;
        memcpy(output + ((n * h + iy) * w + ix) * c + before->c, input + row * x->c, (size_t)x->c);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
