/* Plain kernels as firmware has them, written for the tests: NCHW, int8, one loop for each index.
 *
 * The loops (conv.c, pool.c, elementwise.c) are the same for every arithmetic; tflite.c and ort.c say how integers
 * become codes. `fault` plants one mistake that firmware engineers make; 0 for none.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdint.h>

enum fault {
    NO_FAULT,
    WRONG_TIE_RULE,
    TRUNCATION,
    MISSING_INPUT_ZERO_POINT,
    PADDING_WITH_0,
    SWAPPED_WEIGHT_ORDER,
    STRIDE_TAKEN_FOR_DILATION,
    OFF_BY_ONE_PAD,
    MISSING_BIAS,
    NEIGHBOUR_BIAS,
    PER_TENSOR_SCALE,
    MISSING_CLAMP,
    INT16_ACCUMULATOR
};
extern int fault;

typedef struct {
    int n, c, h, w;
} sizes;

typedef struct {
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
} window;

typedef struct {
    float scale;
    int zero;
} quant;

/* multiplier: int32_t and shift under tflite, float under ort; one for each channel, or for each input of Concat. */
typedef struct {
    const void *multiplier;
    const int32_t *shift;
    int count;
} rescaling;

typedef struct {
    const int8_t *input, *weight;
    const int32_t *bias;
    sizes in, out;
    window window;
    int group;
    quant x, y;
    rescaling by;
} conv_layer;

typedef struct {
    const int8_t *input;
    sizes in, out;
    window window;
    quant x, y;
    rescaling by;
} pool_layer;

typedef struct {
    const int8_t *a, *b;
    int count;
    quant left, right, y;
    const void *numbers; /* tflite: three multipliers, with three shifts; ort: ratio a, ratio b, offset */
    const int32_t *shifts;
} add_layer;

typedef struct {
    const int8_t *input;
    int outer, inner; /* elements before and from the axis on */
    quant x, y;
    rescaling by;
    int index;
} concat_part;

void conv(const conv_layer *layer, int8_t *output);
void max_pool(const pool_layer *layer, int8_t *output);
void average_pool(const pool_layer *layer, int8_t *output);
void global_average_pool(const pool_layer *layer, int8_t *output);
void add(const add_layer *layer, int8_t *output);
void concat(const concat_part *parts, int count, int8_t *output);

/* What tflite.c and ort.c define. */
int8_t requantize(int32_t acc, const rescaling *by, int channel, int zero);
int8_t add_codes(int8_t a, int8_t b, const add_layer *layer);
int8_t rescale_code(int8_t code, const concat_part *part);
int8_t average_codes(const int8_t *codes, int count, const pool_layer *layer);

/* A code from its unclipped value. */
int8_t clamp(int64_t value);

#endif
