/* Convolutions and matrix products: a loop for each index. Scratch memory is written over, as the real kernels do. */
#include <stddef.h>
#include <string.h>

#include "arm_nnfunctions.h"
#include "arm_nnsupportfunctions.h"

static int8_t code_of(int32_t acc, int32_t multiplier, int32_t shift, int32_t offset, cmsis_nn_activation limits)
{
    const int32_t value = arm_nn_requantize(acc, multiplier, shift) + offset;
    return (int8_t)(value < limits.min ? limits.min : value > limits.max ? limits.max : value);
}

arm_cmsis_nn_status arm_convolve_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *p,
                                    const cmsis_nn_per_channel_quant_params *q, const cmsis_nn_dims *x,
                                    const int8_t *input, const cmsis_nn_dims *f, const int8_t *filter,
                                    const cmsis_nn_dims *bias_dims, const int32_t *bias, const cmsis_nn_dims *upscale,
                                    const cmsis_nn_dims *y, int8_t *output)
{
    const int groups = x->c / f->c, outputs = y->c / groups;
    const int32_t wanted = arm_convolve_s8_get_buffer_size(x, f);
    if (bias == NULL || bias_dims->c != y->c || upscale != NULL || ctx->buf == NULL || ctx->size < wanted || f->n != y->c
        || x->n != y->n || x->c % f->c) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    memset(ctx->buf, 0x5a, (size_t)ctx->size);
    for (int n = 0; n < y->n; n++) {
        for (int row = 0; row < y->h; row++) {
            for (int col = 0; col < y->w; col++) {
                for (int o = 0; o < y->c; o++) {
                    int32_t acc = bias[o];
                    for (int ky = 0; ky < f->h; ky++) {
                        for (int kx = 0; kx < f->w; kx++) {
                            const int iy = row * p->stride.h + ky * p->dilation.h - p->padding.h;
                            const int ix = col * p->stride.w + kx * p->dilation.w - p->padding.w;
                            for (int c = 0; c < f->c && iy >= 0 && iy < x->h && ix >= 0 && ix < x->w; c++) {
                                const int from = o / outputs * f->c + c;
                                acc += (input[((n * x->h + iy) * x->w + ix) * x->c + from] + p->input_offset)
                                       * filter[((o * f->h + ky) * f->w + kx) * f->c + c];
                            }
                        }
                    }
                    *output++ = code_of(acc, q->multiplier[o], q->shift[o], p->output_offset, p->activation);
                }
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_s8_get_buffer_size(const cmsis_nn_dims *x, const cmsis_nn_dims *f)
{
    return 4 * f->w * f->h * x->c;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_conv_params *p,
                                            const cmsis_nn_per_channel_quant_params *q, const cmsis_nn_dims *x,
                                            const int8_t *input, const cmsis_nn_dims *f, const int8_t *filter,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *y, int8_t *output)
{
    return arm_convolve_s8(ctx, p, q, x, input, f, filter, bias_dims, bias, NULL, y, output);
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *p, const cmsis_nn_dims *x,
                                                const cmsis_nn_dims *f, const cmsis_nn_dims *y)
{
    (void)p;
    (void)y;
    return arm_convolve_s8_get_buffer_size(x, f);
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_dw_conv_params *p,
                                                  const cmsis_nn_per_channel_quant_params *q, const cmsis_nn_dims *x,
                                                  const int8_t *input, const cmsis_nn_dims *f, const int8_t *filter,
                                                  const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                  const cmsis_nn_dims *y, int8_t *output)
{
    const int32_t wanted = arm_depthwise_conv_wrapper_s8_get_buffer_size(p, x, f, y);
    if (p->ch_mult * x->c != y->c || f->c != y->c || f->n != 1 || bias_dims->c != y->c || ctx->size < wanted) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    memset(ctx->buf, 0x5a, (size_t)ctx->size);
    for (int n = 0; n < y->n; n++) {
        for (int row = 0; row < y->h; row++) {
            for (int col = 0; col < y->w; col++) {
                for (int o = 0; o < y->c; o++) {
                    int32_t acc = bias[o];
                    for (int ky = 0; ky < f->h; ky++) {
                        for (int kx = 0; kx < f->w; kx++) {
                            const int iy = row * p->stride.h + ky * p->dilation.h - p->padding.h;
                            const int ix = col * p->stride.w + kx * p->dilation.w - p->padding.w;
                            if (iy >= 0 && iy < x->h && ix >= 0 && ix < x->w) {
                                const int place = ((n * x->h + iy) * x->w + ix) * x->c + o / p->ch_mult;
                                acc += (input[place] + p->input_offset) * filter[(ky * f->w + kx) * y->c + o];
                            }
                        }
                    }
                    *output++ = code_of(acc, q->multiplier[o], q->shift[o], p->output_offset, p->activation);
                }
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *p, const cmsis_nn_dims *x,
                                                      const cmsis_nn_dims *f, const cmsis_nn_dims *y)
{
    (void)p;
    (void)y;
    return 2 * x->c * f->w * f->h;
}

/* As on Helium: the sums of the weights come in the scratch memory. */
arm_cmsis_nn_status arm_fully_connected_wrapper_s8(const cmsis_nn_context *ctx, const cmsis_nn_fc_params *p,
                                                   const cmsis_nn_quant_params *q, const cmsis_nn_dims *x,
                                                   const int8_t *input, const cmsis_nn_dims *f, const int8_t *filter,
                                                   const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                   const cmsis_nn_dims *y, int8_t *output)
{
    const int32_t *sums = (const int32_t *)ctx->buf;
    if (sums == NULL || ctx->size < arm_fully_connected_s8_get_buffer_size(f) || f->c != y->c || bias_dims->c != y->c
        || bias == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (int n = 0; n < x->n; n++, input += f->n) {
        for (int o = 0; o < y->c; o++) {
            const int at = q->is_per_channel ? o : 0;
            int32_t acc = sums[o];
            for (int k = 0; k < f->n; k++) {
                acc += input[k] * (filter[o * f->n + k] + p->filter_offset);
            }
            *output++ = code_of(acc, q->multiplier[at], q->shift[at], p->output_offset, p->activation);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *f)
{
    return 4 * f->c;
}

arm_cmsis_nn_status arm_vector_sum_s8(int32_t *sums, const int32_t cols, const int32_t rows, const int8_t *data,
                                      const int32_t lhs_offset, const int32_t rhs_offset, const int32_t *bias)
{
    for (int row = 0; row < rows; row++) {
        sums[row] = bias == NULL ? 0 : bias[row];
        for (int col = 0; col < cols; col++) {
            sums[row] += (*data++ + rhs_offset) * lhs_offset;
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
