#include "qdqnp_harness.h"

#include <string.h>

#include "arm_nnsupportfunctions.h"

void qdqnp_net_input(const qdqnp_network *net, uint32_t input, const int8_t *codes)
{
    const qdqnp_net_tensor *tensor = &net->tensors[net->inputs[input]];
    memcpy(tensor->data, codes, tensor->count);
}

uint32_t qdqnp_net_run(const qdqnp_network *net, qdqnp_net_hook hook, void *context)
{
    uint32_t at;
    for (at = 0; hook != NULL && at < net->input_count; at++) {
        hook(context, net, net->inputs[at]);
    }
    for (at = 0; at < net->layer_count; at++) {
        const qdqnp_net_layer *layer = &net->layers[at];
        cmsis_nn_context scratch;
        scratch.buf = net->scratch;
        scratch.size = layer->scratch_bytes == NULL ? 0 : layer->scratch_bytes();
        if (scratch.size > net->scratch_bytes || layer->run(&scratch) != ARM_CMSIS_NN_SUCCESS) {
            return at + 1;
        }
        if (hook != NULL) {
            hook(context, net, layer->tensor);
        }
    }
    return 0;
}

/* -- checks ------------------------------------------------------------------------------------------------------- */
static uint32_t crc_of(uint32_t crc, const void *data, uint32_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu
    };
    const uint8_t *bytes = (const uint8_t *)data;
    crc = ~crc;
    while (size--) {
        const uint32_t byte = *bytes++;
        crc = table[(crc ^ byte) & 15u] ^ (crc >> 4);
        crc = table[(crc ^ (byte >> 4)) & 15u] ^ (crc >> 4);
    }
    return ~crc;
}

uint32_t qdqnp_net_crc(const qdqnp_net_tensor *tensor)
{
    return crc_of(0, tensor->data, tensor->count);
}

void qdqnp_net_check(void *context, const qdqnp_network *net, uint32_t tensor)
{
    qdqnp_net_check_context *check = (qdqnp_net_check_context *)context;
    const uint32_t want = check->expected->crc32[check->case_index * net->tensor_count + tensor];
    const uint32_t got = qdqnp_net_crc(&net->tensors[tensor]);
    if (want != got) {
        check->mismatches++;
        if (check->wrong != NULL) {
            check->wrong(net, tensor, check->case_index, want, got);
        }
    }
}

/* -- frames ------------------------------------------------------------------------------------------------------- */
static uint32_t put(uint32_t crc, const void *data, uint32_t size)
{
    qdqnp_dump_write(data, size);
    return crc_of(crc, data, size);
}

static uint32_t put_u32(uint32_t crc, uint32_t value)
{
    uint8_t bytes[4];
    uint32_t at;
    for (at = 0; at < 4; at++) {
        bytes[at] = (uint8_t)(value >> (8 * at));
    }
    return put(crc, bytes, 4);
}

static void frame(uint8_t kind, const qdqnp_net_tensor *tensor)
{
    const uint32_t length = tensor == NULL ? 0 : (uint32_t)strlen(tensor->name);
    const uint8_t name_length = (uint8_t)(length > 255 ? 255 : length);
    const uint8_t axes = tensor == NULL ? 0 : (uint8_t)tensor->axes;
    const uint8_t head[4] = {kind, (uint8_t)(tensor == NULL ? 0 : 1), axes, name_length};
    uint32_t crc = 0, axis;
    qdqnp_dump_write("QDQP", 4);
    crc = put(crc, head, 4);
    crc = put_u32(crc, tensor == NULL ? 0 : tensor->count);
    for (axis = 0; axis < axes; axis++) {
        crc = put_u32(crc, tensor->shape[axis]);
    }
    if (tensor != NULL) {
        crc = put(crc, tensor->name, name_length);
        crc = put(crc, tensor->data, tensor->count);
    }
    put_u32(0, crc);
}

void qdqnp_net_dump(void *context, const qdqnp_network *net, uint32_t tensor)
{
    (void)context;
    frame(1, &net->tensors[tensor]);
}

void qdqnp_net_dump_done(void)
{
    frame(3, NULL);
}

/* -- what CMSIS-NN has no kernel for ------------------------------------------------------------------------------ */
static int8_t code_of(int32_t value, int32_t offset, int32_t minimum, int32_t maximum)
{
    value += offset;
    value = value < minimum ? minimum : value;
    return (int8_t)(value > maximum ? maximum : value);
}

void qdqnp_rescale_s8(const int8_t *input, int32_t input_offset, int32_t multiplier, int32_t shift, int8_t *output,
                      int32_t output_offset, int32_t minimum, int32_t maximum, int32_t count)
{
    int32_t at;
    for (at = 0; at < count; at++) {
        const int32_t value = arm_nn_requantize(input[at] + input_offset, multiplier, shift);
        output[at] = code_of(value, output_offset, minimum, maximum);
    }
}

void qdqnp_mean_s8(const int8_t *input, int32_t n, int32_t places, int32_t channels, int32_t input_offset,
                   int32_t multiplier, int32_t shift, int8_t *output, int32_t output_offset, int32_t minimum,
                   int32_t maximum)
{
    int32_t image, channel, place;
    for (image = 0; image < n; image++) {
        for (channel = 0; channel < channels; channel++) {
            int32_t sum = places * input_offset;
            for (place = 0; place < places; place++) {
                sum += input[(image * places + place) * channels + channel];
            }
            sum = arm_nn_requantize(sum, multiplier, shift);
            output[image * channels + channel] = code_of(sum, output_offset, minimum, maximum);
        }
    }
}
