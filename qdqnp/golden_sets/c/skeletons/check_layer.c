/* Runs all cases of a layer under test. */
#include "@PREFIX@_under_test.h"

/* Aligned for Helium, and for every element type. */
static union {
    int64_t aligned[2];
    unsigned char bytes[@MACRO@_LARGEST_OUTPUT];
} buffer;

static void keep(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result)
{
    qdqnp_result *first = (qdqnp_result *)context;
    (void)tensor;
    (void)case_index;
    if (first->mismatches == 0) {
        *first = *result;
    }
}

uint32_t @PREFIX@_check_layer(uint32_t output_id, qdqnp_result *first)
{
    const qdqnp_tensor *golden = &@PREFIX@_tensors[output_id];
    uint32_t at, wrong = 0;
    first->mismatches = 0;
    for (at = 0; at < golden->cases; at++) {
        if (@PREFIX@_under_test(output_id, at, buffer.bytes) != 0) {
            return @MACRO@_SKIPPED;
        }
        wrong += qdqnp_check(golden, output_id, at, buffer.bytes, keep, first);
    }
    return wrong;
}
