/* Keyword spotting: 16-bit samples in, a score per label out.
 *
 *     static kws state;
 *
 *     kws_init(&state);
 *     for (;;) {
 *         kws_feed(&state, samples, count);       any number of samples, as the microphone gives them
 *         best = kws_result(&state, scores);      as often as there is time for it
 *     }
 */
#ifndef KWS_H
#define KWS_H

#include <stddef.h>
#include <stdint.h>

#include "kws_features.h"
#include "kws_model.h"

/* All the memory that changes. Nothing is allocated. */
typedef struct {
    union { /* features and network are not computed at the same time */
        kws_real work[KWS_WORK_VALUES];
        int8_t arena[KWS_ARENA_BYTES];
    } memory;
    int8_t features[KWS_FRAME_COUNT][KWS_CHANNEL_COUNT]; /* a ring: the oldest frame is at `next` once it is full */
    int16_t window[KWS_WINDOW_SAMPLES];
    int32_t frames, next;   /* frames in the ring; where the next one goes */
    int32_t filled, skip;   /* samples in the window; samples to pass over before the next window */
} kws;

/* Forget all samples. */
void kws_init(kws *self);

/* Take samples at KWS_SAMPLE_RATE -> the number of frames that they completed. */
int32_t kws_feed(kws *self, const int16_t *samples, size_t count);

/* The scores of the last KWS_FRAME_COUNT frames, each from 0 to 255/256 -> the label with the largest score.
 * -1: there were not enough samples for a clip yet. */
int32_t kws_result(kws *self, float scores[KWS_LABEL_COUNT]);

#endif
