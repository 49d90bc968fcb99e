/* kws                          runs the network on the test vectors
 * kws FILE.wav ...             prints the scores of each clip of 16-bit mono files
 * kws --listen FILE.wav ...    prints the keywords that are said in them; - is raw samples on standard input
 *
 * On an emulated microcontroller, files are read through semihosting, and instructions are counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws.h"
#include "test_vectors.h"

#define BLOCK 512 /* samples that are read at once */

#ifdef KWS_EMULATOR
#include "emulator.h"
#else
static void start_counting(void) {}
static void print_count(const char *what) { (void)what; }
#endif

static kws state;

static uint32_t little_endian(const uint8_t *bytes, int32_t count)
{
    uint32_t value = 0;
    while (count--) {
        value = value << 8 | bytes[count];
    }
    return value;
}

/* The number of samples of a 16-bit mono file at the network's rate, which are read next; -1 if it is another file. */
static int32_t open_samples(FILE *file)
{
    uint8_t bytes[20];
    int32_t right_format = 0;
    if (fread(bytes, 1, 12, file) != 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0) {
        return -1;
    }
    while (fread(bytes, 1, 8, file) == 8) {
        const uint32_t size = little_endian(bytes + 4, 4);
        long rest = (long)(size + (size & 1));
        if (memcmp(bytes, "data", 4) == 0) {
            return right_format ? (int32_t)(size / 2) : -1;
        }
        if (memcmp(bytes, "fmt ", 4) == 0 && size >= 16 && fread(bytes, 1, 16, file) == 16) {
            right_format = little_endian(bytes, 2) == 1 && little_endian(bytes + 2, 2) == 1
                && little_endian(bytes + 4, 4) == KWS_SAMPLE_RATE && little_endian(bytes + 14, 2) == 16;
            rest -= 16;
        }
        if (fseek(file, rest, SEEK_CUR) != 0) {
            return -1;
        }
    }
    return -1;
}

/* Read up to `wanted` samples -> their number. */
static int32_t read_samples(FILE *file, int16_t *samples, int32_t wanted)
{
    static uint8_t bytes[2 * BLOCK];
    const int32_t count = (int32_t)fread(bytes, 2, (size_t)wanted, file);
    int32_t i;
    for (i = 0; i < count; ++i) {
        const int32_t value = (int32_t)little_endian(bytes + 2 * i, 2);
        samples[i] = (int16_t)(value > INT16_MAX ? value - 65536 : value);
    }
    return count;
}

static int refused(const char *name)
{
    printf("%s: not a 16-bit mono WAV file at %d samples per second\n", name, KWS_SAMPLE_RATE);
    return EXIT_FAILURE;
}

static void print_scores(const char *name, int32_t start)
{
    float scores[KWS_LABEL_COUNT];
    int32_t best, label;
    start_counting();
    best = kws_result(&state, scores);
    print_count("network");
    if (best < 0) {
        return;
    }
    printf("%s at %ld ms: %s", name, (long)((double)start * 1000 / KWS_SAMPLE_RATE), kws_labels[best]);
    for (label = 0; label < KWS_LABEL_COUNT; ++label) {
        printf(" %ld/256", (long)(scores[label] * 256));
    }
    printf("\n");
}

/* Print the scores of each clip of a file; the last one is padded with zeros. */
static int spot(const char *name)
{
    static int16_t samples[BLOCK];
    FILE *file = fopen(name, "rb");
    const int32_t count = file ? open_samples(file) : -1;
    int32_t i, wanted;
    if (count < 0) {
        return refused(name);
    }
    for (i = 0; i < count || i % KWS_CLIP_SAMPLES; i += wanted) {
        const int32_t left = count > i ? count - i : 0;
        wanted = KWS_CLIP_SAMPLES - i % KWS_CLIP_SAMPLES;
        wanted = wanted < BLOCK ? wanted : BLOCK;
        memset(samples, 0, sizeof samples);
        if (left > 0 && read_samples(file, samples, left < wanted ? left : wanted) == 0) {
            break;
        }
        if (i % KWS_CLIP_SAMPLES == 0) {
            kws_init(&state);
        }
        kws_feed(&state, samples, (size_t)wanted);
        if ((i + wanted) % KWS_CLIP_SAMPLES == 0) {
            print_scores(name, i + wanted - KWS_CLIP_SAMPLES);
        }
    }
    fclose(file);
    return EXIT_SUCCESS;
}

/* Print the keywords that the next samples of a stream complete. The time is the middle of the clip. */
static void print_detections(const char *name, const int16_t *samples, int32_t count)
{
    kws_detection found;
    while (count > 0) {
        const int32_t taken = (int32_t)kws_listen(&state, samples, (size_t)count, &found);
        samples += taken;
        count -= taken;
        if (found.label >= 0) {
            const uint64_t middle = (uint64_t)found.clip * KWS_CLIP_STRIDE_SAMPLES + KWS_CLIP_SAMPLES / 2;
            printf("%s at %lu ms: %s, score %ld/1000\n", name, (unsigned long)(middle * 1000 / KWS_SAMPLE_RATE),
                   kws_labels[found.label], (long)(found.score * 1000 + 0.5f));
            fflush(stdout);
        }
    }
}

/* The zeros after a stream, so that its end is in a clip. */
static int32_t padding(uint64_t count)
{
    const uint64_t stride = KWS_CLIP_STRIDE_SAMPLES, clip = KWS_CLIP_SAMPLES;
    const uint64_t others = count > clip ? (count - clip + stride - 1) / stride : 0; /* clips before the last one */
    return (int32_t)(others * stride + clip - count);
}

static int listen_to(const char *name)
{
    static int16_t samples[BLOCK];
    const int raw = strcmp(name, "-") == 0;
    FILE *file = raw ? stdin : fopen(name, "rb");
    const int32_t promised = raw ? BLOCK : file ? open_samples(file) : -1;
    uint64_t count = 0;
    int32_t some, left;
    if (promised < 0) {
        return refused(name);
    }
    kws_init(&state);
    do {
        const uint64_t rest = raw ? BLOCK : (uint64_t)promised - count;
        some = read_samples(file, samples, rest < BLOCK ? (int32_t)rest : BLOCK);
        print_detections(name, samples, some);
        count += (uint64_t)some;
    } while (some > 0);
    memset(samples, 0, sizeof samples);
    for (left = padding(count); left > 0; left -= BLOCK) {
        print_detections(name, samples, left < BLOCK ? left : BLOCK);
    }
    fclose(file);
    return EXIT_SUCCESS;
}

/* The sum of the differences between two rows of integers. */
static int32_t difference(const int8_t *found, const int8_t *wanted, int32_t count)
{
    int32_t i, sum = 0;
    for (i = 0; i < count; ++i) {
        sum += abs(found[i] - wanted[i]);
    }
    return sum;
}

static int check_vectors(void)
{
    const int32_t values = KWS_FRAME_COUNT * KWS_CHANNEL_COUNT;
    int32_t equal = 0, vector, off;
    for (vector = 0; vector < VECTOR_COUNT; ++vector) {
        memcpy(state.memory.arena + KWS_INPUT_OFFSET, vector_features[vector], (size_t)values);
        start_counting();
        kws_model_run(state.memory.arena);
        print_count("network");
        equal += difference(state.memory.arena + KWS_OUTPUT_OFFSET, vector_scores[vector], KWS_LABEL_COUNT) == 0;
    }
    printf("network: the scores of %ld of %d clips are equal\n", (long)equal, VECTOR_COUNT);
    kws_init(&state);
    start_counting();
    kws_feed(&state, vector_samples, KWS_CLIP_SAMPLES);
    print_count("features");
    off = difference(state.features[0], vector_features[0], values);
    printf("features: %ld of %ld integers differ by one step\n", (long)off, (long)values);
    return equal == VECTOR_COUNT && off <= values / 50 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const int listens = argc > 1 && strcmp(argv[1], "--listen") == 0;
    int i, status = EXIT_SUCCESS;
    if (argc < 2) {
        return check_vectors();
    }
    if (listens && argc < 3) {
        printf("--listen needs a WAV file, or - for raw samples on standard input\n");
        return EXIT_FAILURE;
    }
    for (i = 1 + listens; i < argc; ++i) {
        status |= listens ? listen_to(argv[i]) : spot(argv[i]);
    }
    return status;
}
