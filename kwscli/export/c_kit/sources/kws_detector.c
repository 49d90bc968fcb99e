/* The doubt of a window is 1 - its score: an integer / 256. A label is detected as soon as the product of its smallest
 * doubts in the last KWS_SMOOTHING_WINDOWS is at most its limit in kws_doubt_limits. All decisions are about integers,
 * so they are the same on every machine.
 *
 * After a detection, nothing is detected in KWS_SUPPRESSED_WINDOWS, and what was heard before does not count any more.
 * A label that was detected counts again after a window with a low score. See kws_detector.h. */
#include "kws_detector.h"

#include <math.h>

#define NO_SCORE INT8_MIN
#define FULL_DOUBT 256

/* A label counts again after a window with a score below its threshold. */
static void count_again(kws_detector *self, const int8_t *scores)
{
    int32_t label;
    for (label = 0; label < KWS_LABEL_COUNT; ++label) {
        if (scores[label] - NO_SCORE < kws_thresholds[label]) {
            self->detected[label] = 0;
        }
    }
}

static void remember(kws_detector *self, const int8_t *scores)
{
    int32_t label;
    for (label = 0; label < KWS_LABEL_COUNT; ++label) {
        self->recent[self->next][label] = self->detected[label] ? NO_SCORE : scores[label];
    }
    self->next = (self->next + 1) % KWS_SMOOTHING_WINDOWS;
    self->kept += self->kept < KWS_SMOOTHING_WINDOWS ? 1 : 0;
}

/* The product of the smallest doubts of a label, in 1 / 256^KWS_DOUBTS. */
static uint64_t doubt_of(const kws_detector *self, int32_t label)
{
    int32_t smallest[KWS_DOUBTS], window, i;
    uint64_t product = 1;
    for (i = 0; i < KWS_DOUBTS; ++i) {
        smallest[i] = FULL_DOUBT;
    }
    for (window = 0; window < self->kept; ++window) {
        int32_t doubt = FULL_DOUBT - (self->recent[window][label] - NO_SCORE);
        for (i = 0; i < KWS_DOUBTS; ++i) {
            if (doubt < smallest[i]) {
                const int32_t larger = smallest[i];
                smallest[i] = doubt;
                doubt = larger;
            }
        }
    }
    for (i = 0; i < KWS_DOUBTS; ++i) {
        product *= (uint64_t)smallest[i];
    }
    return product;
}

/* 1 - the geometric mean of the doubts. */
static float score_of(uint64_t doubt)
{
    const float full = (float)((uint64_t)1 << (8 * KWS_DOUBTS));
    return 1 - expf(logf((float)doubt / full) / (float)KWS_MINIMUM_WINDOWS);
}

int32_t kws_detect(kws_detector *self, const int8_t scores[KWS_LABEL_COUNT], float *score)
{
    uint64_t smallest = 0;
    int32_t label, found = -1;
    count_again(self, scores);
    if (self->suppressed > 0) {
        --self->suppressed;
        return -1;
    }
    remember(self, scores);
    for (label = 0; label < KWS_LABEL_COUNT; ++label) {
        const uint64_t doubt = doubt_of(self, label);
        if (!self->detected[label] && doubt <= kws_doubt_limits[label] && (found < 0 || doubt < smallest)) {
            smallest = doubt;
            found = label;
        }
    }
    if (found >= 0) {
        *score = score_of(smallest);
        self->detected[found] = 1;
        self->suppressed = KWS_SUPPRESSED_WINDOWS;
        self->kept = self->next = 0;
    }
    return found;
}
