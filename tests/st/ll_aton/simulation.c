/* Plays a network: stdin has blocks of epochs with the bytes that each writes, stdout gets what the hook sends.

   A block is five little-endian words (first epoch, last epoch, flags, writes, 0), a write is address, size and bytes.
   The NPU writes to `ram`. The CPU sees `seen`, and what is new in `ram` only after it has invalidated its cache, whole
   lines of 32 bytes at a time. Arguments are addresses of tensors whose last line is not invalidated. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ll_aton_caches_interface.h"
#include "ll_aton_runtime.h"

#define BASE 0x342e0000u
#define SIZE (1u << 20)
#define LINE 32u

void qdqnp_dump_write(const void *data, uint32_t size);
void qdqnp_dump_install(NN_Instance_TypeDef *instance);
void qdqnp_dump_user(uint32_t number, const void *memory);

static uint8_t ram[SIZE], seen[SIZE];
static char **stale; /* up to a null pointer */

static int keeps_the_last_line(uint32_t at)
{
  for (char **one = stale; *one; one++) {
    if (at == (uint32_t)strtoul(*one, NULL, 10) - BASE) {
      return 1;
    }
  }
  return 0;
}

const uint8_t *simulated(uintptr_t address)
{
  return seen + (address - BASE);
}

void LL_ATON_Cache_MCU_Invalidate_Range(uintptr_t address, uint32_t size)
{
  uint32_t begin = (uint32_t)((const uint8_t *)address - seen), end = begin + size;
  uint32_t at = begin / LINE * LINE;
  for (; at < end && at + LINE <= SIZE; at += LINE) {
    if (at + LINE >= end && keeps_the_last_line(begin)) {
      continue;
    }
    memcpy(seen + at, ram + at, LINE);
  }
}

void qdqnp_dump_write(const void *data, uint32_t size)
{
  fwrite(data, 1, size, stdout);
}

static int word(uint32_t *value)
{
  return fread(value, 4, 1, stdin) == 1;
}

int main(int count, char **words)
{
  (void)count;
  stale = words + 1;
  NN_Instance_TypeDef instance = { 0 };
  uint32_t head[5];
  qdqnp_dump_install(&instance);
  qdqnp_dump_user(0u, seen + SIZE / 2u); /* the memory that this firmware gives for the first tensor without address */
  printf("a line that the firmware prints\n");
  while (word(&head[0]) && word(&head[1]) && word(&head[2]) && word(&head[3]) && word(&head[4])) {
    LL_ATON_RT_EpochBlockItem_t block = { (uint16_t)head[2], (int16_t)head[0], (int16_t)head[1] };
    instance.callback(LL_ATON_RT_Callbacktype_PRE_START, &instance, &block);
    for (uint32_t at = 0; at < head[3]; at++) {
      uint32_t address, size;
      if (!word(&address) || !word(&size) || address - BASE > SIZE - size) {
        return 1;
      }
      if (fread(ram + (address - BASE), 1, size, stdin) != size) {
        return 1;
      }
    }
    instance.callback(LL_ATON_RT_Callbacktype_PRE_END, &instance, &block);
    instance.callback(LL_ATON_RT_Callbacktype_POST_END, &instance, &block);
  }
  return 0;
}
