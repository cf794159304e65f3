/* On the host: cc *.c && ./a.out
 *
 * Without arguments: whether the arrays that were compiled in have the checksums that qdqnp wrote down.
 * a.out KEY FILE [CASE]: whether a dump from the device, raw little-endian bytes, is the golden tensor of that key.
 * Exit code 0: equal. 1: not. 2: bad usage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@PREFIX@.h"

static void print(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result)
{
    (void)context;
    if (result->mismatches == 0) {
        printf("%s, case %lu: equal\n", @PREFIX@_tensors[tensor].name, (unsigned long)case_index);
        return;
    }
    printf("%s, case %lu: %lu of %lu elements differ; at index %lu expected %lld, got %lld; at most %llu LSB\n",
           @PREFIX@_tensors[tensor].name, (unsigned long)case_index, (unsigned long)result->mismatches,
           (unsigned long)@PREFIX@_tensors[tensor].count, (unsigned long)result->first, (long long)result->expected,
           (long long)result->got, (unsigned long long)result->largest);
}

static int check_arrays(void)
{
    uint32_t tensor, at, bad = 0;
    for (tensor = 0; tensor < @MACRO@_TENSORS; tensor++) {
        const qdqnp_tensor *golden = &@PREFIX@_tensors[tensor];
        const size_t bytes = (size_t)golden->count * qdqnp_element_bytes(golden->type);
        for (at = 0; at < golden->cases; at++) {
            const unsigned char *values = (const unsigned char *)golden->values + at * bytes;
            if (qdqnp_crc32(values, golden->count, golden->type) != golden->crc32[at]) {
                printf("%s, case %lu: not what qdqnp wrote\n", golden->name, (unsigned long)at);
                bad++;
            }
        }
    }
    printf("%lu tensors, %lu cases: %s\n", (unsigned long)@MACRO@_TENSORS, (unsigned long)@MACRO@_CASES,
           bad ? "damaged" : "intact");
    return bad ? 1 : 0;
}

static int check_dump(const char *key, const char *path, uint32_t case_index)
{
    uint32_t tensor = 0;
    size_t bytes, got;
    unsigned char *data;
    FILE *file;
    uint32_t mismatches;
    while (tensor < @MACRO@_TENSORS && strcmp(@PREFIX@_tensors[tensor].name, key) != 0) {
        tensor++;
    }
    if (tensor == @MACRO@_TENSORS || case_index >= @MACRO@_CASES) {
        fprintf(stderr, "no such tensor or case\n");
        return 2;
    }
    bytes = (size_t)@PREFIX@_tensors[tensor].count * qdqnp_element_bytes(@PREFIX@_tensors[tensor].type);
    file = fopen(path, "rb");
    data = (unsigned char *)malloc(bytes + 1);
    if (file == NULL || data == NULL) {
        fprintf(stderr, "cannot read %s\n", path);
        return 2;
    }
    got = fread(data, 1, bytes + 1, file);
    fclose(file);
    if (got != bytes) {
        fprintf(stderr, "%s: expected %lu bytes, got %s\n", path, (unsigned long)bytes, got > bytes ? "more" : "less");
        free(data);
        return 2;
    }
    mismatches = qdqnp_check(&@PREFIX@_tensors[tensor], tensor, case_index, data, print, NULL);
    free(data);
    return mismatches ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return check_arrays();
    }
    if (argc == 3 || argc == 4) {
        return check_dump(argv[1], argv[2], argc == 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0u);
    }
    fprintf(stderr, "usage: %s [KEY FILE [CASE]]\n", argv[0]);
    return 2;
}
