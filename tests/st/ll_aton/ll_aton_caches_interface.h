/* A stand-in for ST's header of this name. */
#ifndef LL_ATON_CACHES_INTERFACE_H
#define LL_ATON_CACHES_INTERFACE_H

#include <stdint.h>

void LL_ATON_Cache_MCU_Invalidate_Range(uintptr_t address, uint32_t size);

#endif
