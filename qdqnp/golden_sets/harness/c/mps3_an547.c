/* Startup for the board MPS3 with AN547: a Cortex-M55, with input and output by semihosting. */
#include <stdint.h>

extern char __stack[];
extern void _start(void);
void qdqnp_reset(void);

static void halt(void)
{
    for (;;) {
    }
}

void qdqnp_reset(void)
{
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the floating point unit and Helium */
    __asm volatile("dsb\n isb");
    _start(); /* newlib's: clears .bss, calls main, exits */
}

typedef union {
    const void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {__stack}, {.handler = qdqnp_reset}, {.handler = halt}, {.handler = halt},
    {.handler = halt}, {.handler = halt}, {.handler = halt}, {.handler = halt},
};
