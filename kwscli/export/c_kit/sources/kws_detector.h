/* The scores of windows that slide over a stream -> detections, by the rules and with the numbers of kws listen. */
#ifndef KWS_DETECTOR_H
#define KWS_DETECTOR_H

#include <stdint.h>

#include "kws_model.h"

/* Zeros are the start. */
typedef struct {
    int8_t recent[KWS_SMOOTHING_WINDOWS][KWS_LABEL_COUNT]; /* scores of the last windows: a ring */
    uint8_t detected[KWS_LABEL_COUNT]; /* whether a label was detected and no window has a low score of it since then */
    int32_t kept, next;                /* windows in the ring; where the next one goes */
    int32_t suppressed;                /* windows to come in which nothing is detected */
} kws_detector;

/* The scores of the next window, as the network gives them -> the label that is detected, and its score.
 * -1: none is. */
int32_t kws_detect(kws_detector *self, const int8_t scores[KWS_LABEL_COUNT], float *score);

#endif
