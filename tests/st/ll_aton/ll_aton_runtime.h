/* A stand-in for the part of ST's runtime that the hook uses, written for the tests from its public interface. */
#ifndef LL_ATON_RUNTIME_H
#define LL_ATON_RUNTIME_H

#include <stdint.h>

typedef enum {
  LL_ATON_RT_Callbacktype_PRE_START,
  LL_ATON_RT_Callbacktype_POST_START,
  LL_ATON_RT_Callbacktype_PRE_END,
  LL_ATON_RT_Callbacktype_POST_END
} LL_ATON_RT_Callbacktype_t;

typedef enum {
  EpochBlock_Flags_epoch_start = 1,
  EpochBlock_Flags_epoch_end = 2,
  EpochBlock_Flags_blob = 4,
  EpochBlock_Flags_last_eb = 8,
  EpochBlock_Flags_internal = 128
} EpochBlock_Flags_t;

typedef struct {
  uint16_t flags;
#if defined(LL_ATON_EB_DBG_INFO)
  int16_t epoch_num;
  int16_t last_epoch_num;
#endif
} LL_ATON_RT_EpochBlockItem_t;

typedef struct NN_Instance NN_Instance_TypeDef;
typedef void (*TraceEpochBlock_FuncPtr_t)(
  LL_ATON_RT_Callbacktype_t, const NN_Instance_TypeDef *, const LL_ATON_RT_EpochBlockItem_t *);

struct NN_Instance {
  TraceEpochBlock_FuncPtr_t callback;
};

static inline void LL_ATON_RT_SetEpochCallback(TraceEpochBlock_FuncPtr_t callback, NN_Instance_TypeDef *instance)
{
  instance->callback = callback;
}

/* Where a simulation keeps the device's memory. */
const uint8_t *simulated(uintptr_t address);

#endif
