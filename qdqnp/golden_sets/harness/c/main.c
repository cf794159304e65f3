/* Runs the network on every input of the golden set, and checks each layer.
 *
 * Without arguments: each layer's CRC-32 is compared with what qdqnp computed.
 * With a FILE: every tensor is written there too, as frames that `qdqnp compare` reads.
 * Exit code 0: all equal. 1: not, or a kernel failed. 2: the file cannot be written.
 */
#include <stdio.h>

#include "@PREFIX@_network.h"

static FILE *dump;

void qdqnp_dump_write(const void *data, uint32_t size)
{
    if (dump != NULL) {
        fwrite(data, 1, size, dump);
    }
}

static void wrong(const qdqnp_network *net, uint32_t tensor, uint32_t case_index, uint32_t expected, uint32_t got)
{
    uint32_t at = 0;
    while (at < net->layer_count && net->layers[at].tensor != tensor) {
        at++;
    }
    if (at == net->layer_count) {
        printf("case %lu: the input", (unsigned long)case_index);
    } else {
        printf("case %lu: layer %s, by %s", (unsigned long)case_index, net->layers[at].name, net->layers[at].kernels);
    }
    printf(": CRC-32 %08lx, expected %08lx\n", (unsigned long)got, (unsigned long)expected);
}

static void hook(void *context, const qdqnp_network *net, uint32_t tensor)
{
    qdqnp_net_check(context, net, tensor);
    if (dump != NULL) {
        qdqnp_net_dump(NULL, net, tensor);
    }
}

int main(int argc, char **argv)
{
    const qdqnp_network *net = &@PREFIX@_network;
    const qdqnp_net_expected *expected = &@PREFIX@_expected;
    qdqnp_net_check_context check;
    unsigned long elements = 0;
    uint32_t at, input;
    check.expected = expected;
    check.mismatches = 0;
    check.wrong = wrong;
    if (argc > 1) {
        dump = fopen(argv[1], "wb");
        if (dump == NULL) {
            printf("cannot write %s\n", argv[1]);
            return 2;
        }
    }
    for (at = 0; at < expected->cases; at++) {
        uint32_t failed;
        for (input = 0; input < net->input_count; input++) {
            const uint32_t count = net->tensors[net->inputs[input]].count;
            qdqnp_net_input(net, input, expected->inputs[input] + (size_t)at * count);
        }
        check.case_index = at;
        failed = qdqnp_net_run(net, hook, &check);
        if (failed != 0) {
            const qdqnp_net_layer *layer = &net->layers[failed - 1];
            printf("case %lu: layer %s, by %s, failed", (unsigned long)at, layer->name, layer->kernels);
            if (layer->scratch_bytes != NULL && layer->scratch_bytes() > net->scratch_bytes) {
                printf(": it wants %ld bytes of scratch memory, there are %ld (@MACRO@_SCRATCH_BYTES)",
                       (long)layer->scratch_bytes(), (long)net->scratch_bytes);
            }
            printf("\n");
            return 1;
        }
        if (dump != NULL) {
            qdqnp_net_dump_done();
        }
    }
    if (dump != NULL && fclose(dump) != 0) {
        printf("cannot write %s\n", argv[1]);
        return 2;
    }
    for (at = 0; at < net->tensor_count; at++) {
        elements += (unsigned long)net->tensors[at].count * expected->cases;
    }
    printf("%lu inputs, %lu layers, %lu elements: %lu of %lu tensors differ\n", (unsigned long)expected->cases,
           (unsigned long)net->layer_count, elements, (unsigned long)check.mismatches,
           (unsigned long)net->tensor_count * expected->cases);
    return check.mismatches != 0;
}
