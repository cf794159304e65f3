/* Replace this file by one of yours. */
#include "@PREFIX@_under_test.h"

int @PREFIX@_under_test(uint32_t output_id, uint32_t case_index, void *output)
{
    (void)output_id;
    (void)case_index;
    (void)output;
    return 1;
}
