/* Keyword spotting: 16-bit samples in, detections or a score per label out.
 *
 *     static kws state;
 *     kws_detection found;
 *
 *     kws_init(&state);
 *     for (;;) {
 *         Samples of the microphone, as many at a time as you like; `taken` of them are used up:
 *         taken = kws_listen(&state, samples, count, &found);
 *         if (found.label >= 0) {
 *             kws_labels[found.label] was said
 *         }
 *     }
 *
 * Programs with a detector of their own call kws_feed and kws_result instead of kws_listen. */
#ifndef KWS_H
#define KWS_H

#include <stddef.h>
#include <stdint.h>

#include "kws_detector.h"
#include "kws_features.h"
#include "kws_model.h"

/* All the memory that changes. Nothing is allocated. */
typedef struct {
    union { /* features and network are not computed at the same time */
        kws_work work[KWS_WORK_VALUES];
        int8_t arena[KWS_ARENA_BYTES];
    } memory;
    int8_t features[KWS_FRAME_COUNT][KWS_CHANNEL_COUNT]; /* a ring: the oldest frame is at `next` once it is full */
    int16_t window[KWS_WINDOW_SAMPLES];
    int32_t frames, next;   /* frames in the ring; where the next one goes */
    int32_t filled, skip;   /* samples in the window; samples to pass over before the next window */
    kws_detector detector;
    int32_t due;            /* frames before kws_listen runs the network again */
    uint32_t clips;         /* how often it did */
} kws;

/* What kws_listen found in the last clip. The clip begins at sample `clip` * KWS_CLIP_STRIDE_SAMPLES of the stream. */
typedef struct {
    int32_t label; /* -1: nothing */
    float score;   /* from 0 to 1, where a label was found */
    uint32_t clip;
} kws_detection;

/* Forget all samples. */
void kws_init(kws *self);

/* Take samples at KWS_SAMPLE_RATE, up to the next of the clips that slide over the stream, and look for a keyword in
 * that clip -> how many samples were taken. Call it again with the others. */
size_t kws_listen(kws *self, const int16_t *samples, size_t count, kws_detection *found);

/* Take samples at KWS_SAMPLE_RATE -> the number of frames that they completed. */
int32_t kws_feed(kws *self, const int16_t *samples, size_t count);

/* The scores of the last KWS_FRAME_COUNT frames, each from 0 to 255/256 -> the label with the largest score.
 * -1: there were not enough samples for a clip yet. */
int32_t kws_result(kws *self, float scores[KWS_LABEL_COUNT]);

#endif
