/* The one function that you write, in a file of yours: run the layer under test. */
#ifndef @MACRO@_UNDER_TEST_H
#define @MACRO@_UNDER_TEST_H

#include "@PREFIX@.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Compute a layer's output for one case from the arrays of the set.
 * output_id: which layer, as the ..._ID of its output; output: room for all its elements.
 * Returns 0; 1 where you have no such layer yet, and its test is skipped.
 * Until you write it, that of @PREFIX@_under_test.c counts, which has none: leave that file out then. */
int @PREFIX@_under_test(uint32_t output_id, uint32_t case_index, void *output);

/* Run all cases of a layer and compare each with the set; what differs is in `first`.
 * Returns the elements that differ, or @MACRO@_SKIPPED. */
#define @MACRO@_SKIPPED 0xffffffffu
uint32_t @PREFIX@_check_layer(uint32_t output_id, qdqnp_result *first);

#ifdef __cplusplus
}
#endif

#endif
