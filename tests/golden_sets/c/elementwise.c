#include "kernels.h"

void add(const add_layer *l, int8_t *output)
{
    for (int index = 0; index < l->count; index++) {
        output[index] = add_codes(l->a[index], l->b[index], l);
    }
}

void concat(const concat_part *parts, int count, int8_t *output)
{
    for (int outer = 0; outer < parts[0].outer; outer++) {
        for (int part = 0; part < count; part++) {
            for (int index = 0; index < parts[part].inner; index++) {
                *output++ = rescale_code(parts[part].input[outer * parts[part].inner + index], &parts[part]);
            }
        }
    }
}
