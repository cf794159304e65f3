/* Runs a network layer by layer on CMSIS-NN, and calls a hook after each layer. */
#ifndef QDQNP_HARNESS_H
#define QDQNP_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "arm_nnfunctions.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Kernels for Helium read and write 16 bytes at once. */
#ifndef QDQNP_ALIGNED
#define QDQNP_ALIGNED __attribute__((aligned(16)))
#endif

#define QDQNP_TRY(call)                              \
    do {                                             \
        const arm_cmsis_nn_status status_ = (call);  \
        if (status_ != ARM_CMSIS_NN_SUCCESS) {       \
            return status_;                          \
        }                                            \
    } while (0)

/* An int8 tensor in memory. */
typedef struct {
    const char *name; /* that of the model, UTF-8 */
    int8_t *data;
    uint32_t count; /* elements */
    uint32_t axes;
    uint32_t shape[8];
} qdqnp_net_tensor;

typedef struct {
    const char *name;
    const char *kernels;
    arm_cmsis_nn_status (*run)(const cmsis_nn_context *scratch);
    int32_t (*scratch_bytes)(void); /* NULL where the layer's kernels take no scratch memory */
    uint32_t tensor;                /* what it makes */
} qdqnp_net_layer;

typedef struct {
    const qdqnp_net_layer *layers;
    uint32_t layer_count;
    const qdqnp_net_tensor *tensors;
    uint32_t tensor_count;
    const uint32_t *inputs; /* which of the tensors */
    uint32_t input_count;
    const uint32_t *outputs;
    uint32_t output_count;
    int8_t *scratch;
    int32_t scratch_bytes;
} qdqnp_network;

/* What qdqnp computed: the inputs' codes, case after case, and the CRC-32 of every tensor in every case. */
typedef struct {
    uint32_t cases;
    const int8_t *const *inputs;
    const uint32_t *crc32;
} qdqnp_net_expected;

/* Called once for each input and after each layer. */
typedef void (*qdqnp_net_hook)(void *context, const qdqnp_network *net, uint32_t tensor);

/* Copy an input's codes to where the network reads them. */
void qdqnp_net_input(const qdqnp_network *net, uint32_t input, const int8_t *codes);

/* Run all layers on the inputs that were copied. hook may be NULL.
 * Returns 0, or the number of the layer, from 1 on, whose kernel failed or wants more scratch memory than there is. */
uint32_t qdqnp_net_run(const qdqnp_network *net, qdqnp_net_hook hook, void *context);

/* CRC-32 of a tensor's bytes, as zlib computes it. */
uint32_t qdqnp_net_crc(const qdqnp_net_tensor *tensor);

/* Hook: compare each tensor's CRC-32 with what qdqnp computed. `wrong` is called where it differs. */
typedef struct {
    const qdqnp_net_expected *expected;
    uint32_t case_index;
    uint32_t mismatches;
    void (*wrong)(const qdqnp_network *net, uint32_t tensor, uint32_t case_index, uint32_t expected, uint32_t got);
} qdqnp_net_check_context;
void qdqnp_net_check(void *context, const qdqnp_network *net, uint32_t tensor);

/* Hook: send each tensor as a frame, which `qdqnp compare` reads; the context is not used. */
void qdqnp_net_dump(void *context, const qdqnp_network *net, uint32_t tensor);
/* Send the frame that ends one run. */
void qdqnp_net_dump_done(void);
/* Yours: where frames go, such as a UART or a file. */
void qdqnp_dump_write(const void *data, uint32_t size);

/* Codes of one scale and zero point as codes of another: TFLite Micro's requantization, which is no kernel of CMSIS-NN,
 * by its arm_nn_requantize. */
void qdqnp_rescale_s8(const int8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift, int8_t *output,
                      int32_t output_offset, int32_t minimum, int32_t maximum, int32_t count);

/* The mean of each plane between two scales, as TFLite Micro's MEAN: (n, places, channels) to (n, channels). */
void qdqnp_mean_s8(const int8_t *input, int32_t n, int32_t places, int32_t channels, int32_t input_offset,
                   int32_t multiplier, int32_t shift, int8_t *output, int32_t output_offset, int32_t minimum,
                   int32_t maximum);

#ifdef __cplusplus
}
#endif

#endif
