/* Samples -> features, the same numbers as those that the network was trained on. */
#ifndef KWS_FEATURES_H
#define KWS_FEATURES_H

#include <stdint.h>

#include "kws_model.h"

/* What follows the FFT of integers. Compile with -DKWS_REAL=double for 64-bit numbers, which the tests use. */
#ifndef KWS_REAL
#define KWS_REAL float
#endif
typedef KWS_REAL kws_real;

typedef union {
    int32_t integer;
    kws_real real;
} kws_work;

/* samples: KWS_WINDOW_SAMPLES of them. work: KWS_WORK_VALUES numbers. features: KWS_CHANNEL_COUNT numbers. */
void kws_features_of(const int16_t *samples, kws_work *work, kws_real *features);

/* A feature as the integer that the network takes. */
int8_t kws_quantized(kws_real feature);

#endif
