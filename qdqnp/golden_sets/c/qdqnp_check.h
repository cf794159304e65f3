/* Compares a buffer with a golden tensor, by value or by CRC-32.
 *
 * C99 without allocation and without a library: only stdint.h and stddef.h, which a freestanding compiler has too.
 * Every check ends in one call of the callback that the firmware supplies, equal or not.
 */
#ifndef QDQNP_CHECK_H
#define QDQNP_CHECK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    QDQNP_INT8,
    QDQNP_UINT8,
    QDQNP_INT16,
    QDQNP_UINT16,
    QDQNP_INT32,
    QDQNP_INT64,
    QDQNP_FLOAT32,
    QDQNP_FLOAT64
};

/* One golden tensor. values, crc32: of all cases (inputs of the network), one after another; count: elements of one
 * case; cases: 1 for constants. */
typedef struct {
    const char *name;
    const void *values;
    const uint32_t *crc32;
    uint32_t count;
    uint32_t cases;
    uint32_t type;
} qdqnp_tensor;

/* mismatches: elements that differ in any bit; first: index of the first of them; expected, got: there (bit patterns
 * of floats); largest: difference of all, in LSB (of floats, in representable numbers).
 * Of a CRC check: mismatches is 1 or 0, expected and got are the checksums. */
typedef struct {
    uint32_t mismatches;
    uint32_t first;
    int64_t expected;
    int64_t got;
    uint64_t largest;
} qdqnp_result;

/* tensor: its place in the table; case_index: which input of the network. */
typedef void (*qdqnp_report)(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result);

/* Bytes of one element, 0 for a type that there is not. */
uint32_t qdqnp_element_bytes(uint32_t type);

/* Compare `count` elements of one type. */
qdqnp_result qdqnp_compare(const void *expected, const void *got, uint32_t count, uint32_t type);

/* CRC-32 of `count` elements as zlib has it for their little-endian bytes, whatever the order of this machine.
 * QDQNP_CRC_TABLE, defined as 256 when qdqnp_check.c is compiled, trades 1 KB for speed; the default is 16. */
uint32_t qdqnp_crc32(const void *data, uint32_t count, uint32_t type);

/* Compare a buffer with one case of a golden tensor and report. Returns the mismatches. */
uint32_t qdqnp_check(const qdqnp_tensor *golden, uint32_t tensor, uint32_t case_index, const void *got,
                     qdqnp_report report, void *context);

/* Compare the CRC-32 of a buffer with an expected one and report. Returns 0 where they are equal, else 1. */
uint32_t qdqnp_check_crc(uint32_t expected, uint32_t tensor, uint32_t case_index, const void *got, uint32_t count,
                         uint32_t type, qdqnp_report report, void *context);

#ifdef __cplusplus
}
#endif

#endif
