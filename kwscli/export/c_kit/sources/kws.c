/* A window slides over the samples, and each window becomes a frame of features. The frames of a clip become scores,
 * and the scores of clips become detections. See kws.h. */
#include "kws.h"

#include <string.h>

void kws_init(kws *self)
{
    memset(self, 0, sizeof *self);
    self->due = KWS_FRAME_COUNT;
}

static void add_frame(kws *self)
{
    kws_real features[KWS_CHANNEL_COUNT];
    int32_t channel;
    kws_features_of(self->window, self->memory.work, features);
    for (channel = 0; channel < KWS_CHANNEL_COUNT; ++channel) {
        self->features[self->next][channel] = kws_quantized(features[channel]);
    }
    self->next = (self->next + 1) % KWS_FRAME_COUNT;
    self->frames += self->frames < KWS_FRAME_COUNT ? 1 : 0;
}

/* Keep the samples that the next window shares with this one. */
static void advance(kws *self)
{
    const int32_t kept = KWS_WINDOW_SAMPLES > KWS_STRIDE_SAMPLES ? KWS_WINDOW_SAMPLES - KWS_STRIDE_SAMPLES : 0;
    memmove(self->window, self->window + (KWS_WINDOW_SAMPLES - kept), (size_t)kept * sizeof *self->window);
    self->filled = kept;
    self->skip = KWS_STRIDE_SAMPLES - (KWS_WINDOW_SAMPLES - kept);
}

int32_t kws_feed(kws *self, const int16_t *samples, size_t count)
{
    int32_t completed = 0;
    size_t i;
    for (i = 0; i < count; ++i) {
        if (self->skip > 0) {
            --self->skip;
            continue;
        }
        self->window[self->filled++] = samples[i];
        if (self->filled == KWS_WINDOW_SAMPLES) {
            add_frame(self);
            advance(self);
            ++completed;
        }
    }
    return completed;
}

/* Run the network on the frames in the ring -> its scores. */
static const int8_t *run(kws *self)
{
    const size_t newest = (size_t)self->next * KWS_CHANNEL_COUNT, oldest = sizeof self->features - newest;
    int8_t *input = self->memory.arena + KWS_INPUT_OFFSET;
    memcpy(input, self->features[self->next], oldest);
    memcpy(input + oldest, self->features[0], newest);
    kws_model_run(self->memory.arena);
    return self->memory.arena + KWS_OUTPUT_OFFSET;
}

int32_t kws_result(kws *self, float scores[KWS_LABEL_COUNT])
{
    const int8_t *found;
    int32_t label, best = 0;
    if (self->frames < KWS_FRAME_COUNT) {
        return -1;
    }
    found = run(self);
    for (label = 0; label < KWS_LABEL_COUNT; ++label) {
        scores[label] = (float)(found[label] + 128) / 256.0f;
        best = found[label] > found[best] ? label : best;
    }
    return best;
}

/* The samples that complete the next frame. */
static size_t missing(const kws *self)
{
    return (size_t)(self->skip + KWS_WINDOW_SAMPLES - self->filled);
}

size_t kws_listen(kws *self, const int16_t *samples, size_t count, kws_detection *found)
{
    size_t taken = 0;
    found->label = -1;
    while (taken < count && self->due > 0) {
        const size_t rest = count - taken, some = rest < missing(self) ? rest : missing(self);
        self->due -= kws_feed(self, samples + taken, some);
        taken += some;
    }
    if (self->due == 0) {
        found->label = kws_detect(&self->detector, run(self), &found->score);
        found->clip = self->clips++;
        self->due = KWS_CLIP_STRIDE_FRAMES;
    }
    return taken;
}
