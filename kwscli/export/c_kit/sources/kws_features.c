/* A real FFT of integers, its magnitudes, mel filters, logarithms and, for MFCC, a cosine transform. See kws_features.h.
 *
 * A loud frame has bands that are 100,000 times quieter than others. In an FFT of 32-bit floats, the rounding of the loud
 * ones would change the logarithms of the quiet ones. So the FFT has integers of up to 29 bits, which are as large as
 * the frame allows, and which all have one exponent. It needs no floating-point unit, but a compiler that shifts negative
 * integers to the right arithmetically, as all usual ones do.
 *
 * The real FFT of 2 n samples is the complex FFT of n numbers, whose real parts are the even samples and whose imaginary
 * parts are the odd ones, followed by one pass that takes the two apart. */
#include "kws_features.h"

#include <tgmath.h>

#include "kws_tables.h"

#define HALF (KWS_FFT_LENGTH / 2) /* complex numbers */
#define FULL_SCALE 15             /* bits of a sample */
#define TABLE 30                  /* bits of 1.0 in the tables of integers */
#define BEFORE_STAGE 29           /* bits of a number before a stage, which makes it up to 1 + sqrt(2) times as large */

/* cos(2 pi k / KWS_FFT_LENGTH) for k in [0, KWS_FFT_LENGTH / 2], from the table of a quarter of a wave. */
static int32_t cosine(int32_t k)
{
    return k <= HALF / 2 ? cosines[k] : -cosines[HALF - k];
}

static int32_t sine(int32_t k)
{
    return k <= HALF / 2 ? cosines[HALF / 2 - k] : cosines[k - HALF / 2];
}

/* value / 2^shift, rounded. */
static int32_t halved(int32_t value, int32_t shift)
{
    return (value + (1 << shift >> 1)) >> shift;
}

/* a * c + b * d for c and d of the tables, rounded. */
static int32_t turned(int32_t a, int32_t c, int32_t b, int32_t d)
{
    return (int32_t)(((int64_t)a * c + (int64_t)b * d + (1 << (TABLE - 1))) >> TABLE);
}

/* All bits that an integer or its complement has, in an integer that is not negative. */
static int32_t bits_of(int32_t value)
{
    return value ^ (value >> 31);
}

/* How often numbers must be halved so that they have no more than `wanted` bits. */
static int32_t shift_for(int32_t bits, int32_t wanted)
{
    int32_t shift = 0;
    while (bits >> wanted >> shift) {
        ++shift;
    }
    return shift;
}

/* Samples times the window, each times 2^(exponent) -> the exponent. */
static int32_t apply_window(const int16_t *samples, kws_work *work)
{
    int32_t i, bits = 0, shift = TABLE - BEFORE_STAGE + 1 + FULL_SCALE;
    for (i = 0; i < KWS_WINDOW_SAMPLES; ++i) {
        bits |= bits_of(samples[i]);
    }
    for (; shift > 1 && !(bits >> (FULL_SCALE - 1)); bits <<= 1) { /* quiet samples can be made larger */
        --shift;
    }
    for (i = 0; i < KWS_WINDOW_SAMPLES; ++i) {
        const int64_t product = (int64_t)samples[i] * hann[i <= KWS_WINDOW_SAMPLES / 2 ? i : KWS_WINDOW_SAMPLES - i];
        work[i].integer = (int32_t)((product + (1 << (shift - 1))) >> shift);
    }
    for (; i < KWS_FFT_LENGTH; ++i) {
        work[i].integer = 0;
    }
    return TABLE - shift;
}

/* Put the numbers in the order in which the FFT needs them: the bits of each position reversed. */
static void reorder(kws_work *work)
{
    int32_t i, reversed = 0, bit;
    for (i = 1; i < HALF; ++i) {
        for (bit = HALF / 2; reversed & bit; bit /= 2) {
            reversed ^= bit;
        }
        reversed |= bit;
        if (i < reversed) {
            const int32_t real = work[2 * i].integer, imaginary = work[2 * i + 1].integer;
            work[2 * i] = work[2 * reversed];
            work[2 * i + 1] = work[2 * reversed + 1];
            work[2 * reversed].integer = real;
            work[2 * reversed + 1].integer = imaginary;
        }
    }
}

/* One stage of the FFT: pairs of numbers that are `size` apart. The numbers are halved `shift` times first.
 * Returns all bits that the results have. */
static int32_t stage(kws_work *work, int32_t size, int32_t shift)
{
    int32_t offset, i, bits = 0;
    for (offset = 0; offset < size; ++offset) {
        const int32_t c = cosine(offset * (HALF / size)), s = sine(offset * (HALF / size));
        for (i = offset; i < HALF; i += 2 * size) {
            kws_work *a = work + 2 * i, *b = work + 2 * (i + size);
            const int32_t a_real = halved(a[0].integer, shift), a_imaginary = halved(a[1].integer, shift);
            const int32_t b_real = halved(b[0].integer, shift), b_imaginary = halved(b[1].integer, shift);
            const int32_t real = turned(b_real, c, b_imaginary, s);
            const int32_t imaginary = turned(b_imaginary, c, b_real, -s);
            a[0].integer = a_real + real;
            a[1].integer = a_imaginary + imaginary;
            b[0].integer = a_real - real;
            b[1].integer = a_imaginary - imaginary;
            bits |= bits_of(a[0].integer) | bits_of(a[1].integer) | bits_of(b[0].integer) | bits_of(b[1].integer);
        }
    }
    return bits;
}

/* (a + b * c + d * e) / 4 for c and e of the tables, rounded once. */
static int32_t sum_of(int64_t a, int64_t b, int32_t c, int64_t d, int32_t e)
{
    const int32_t shift = TABLE + 2;
    return (int32_t)((a * ((int64_t)1 << TABLE) + b * c + d * e + ((int64_t)1 << (shift - 1))) >> shift);
}

/* The complex FFT of the even and the odd samples -> half of that of the samples. The first and the last number of the
 * result are real, and stand in the place of the first one. */
static void take_apart(kws_work *work)
{
    const int64_t even = work[0].integer, odd = work[1].integer;
    int32_t k;
    work[0].integer = sum_of(2 * even, 0, 0, 2 * odd, 1 << TABLE);
    work[1].integer = sum_of(2 * even, 0, 0, -2 * odd, 1 << TABLE);
    for (k = 1; k <= HALF / 2; ++k) {
        kws_work *a = work + 2 * k, *b = work + 2 * (HALF - k);
        const int64_t a_real = a[0].integer, a_imaginary = a[1].integer;
        const int64_t b_real = b[0].integer, b_imaginary = b[1].integer;
        const int64_t even_real = a_real + b_real, even_imaginary = a_imaginary - b_imaginary;
        const int64_t odd_real = a_imaginary + b_imaginary, odd_imaginary = b_real - a_real;
        const int32_t c = cosine(k), s = sine(k);
        a[0].integer = sum_of(even_real, odd_real, c, odd_imaginary, s);
        a[1].integer = sum_of(even_imaginary, odd_imaginary, c, odd_real, -s);
        b[0].integer = sum_of(even_real, odd_real, -c, odd_imaginary, -s);
        b[1].integer = sum_of(-even_imaginary, odd_imaginary, c, odd_real, -s);
    }
}

/* The FFT of windowed samples times 2^exponent -> its HALF + 1 magnitudes, in place. */
static void magnitudes(kws_work *work, int32_t exponent)
{
    kws_real scale, first, last;
    int32_t k, size, shift, bits = 0;
    reorder(work);
    for (size = 1; size < HALF; size *= 2) {
        shift = shift_for(bits, BEFORE_STAGE);
        bits = stage(work, size, shift);
        exponent -= shift;
    }
    take_apart(work);
    scale = ldexp((kws_real)1, 1 - exponent - FULL_SCALE);
    first = (kws_real)work[0].integer;
    last = (kws_real)work[1].integer;
    for (k = 1; k < HALF; ++k) {
        const kws_real real = (kws_real)work[2 * k].integer, imaginary = (kws_real)work[2 * k + 1].integer;
        work[k].real = scale * sqrt(real * real + imaginary * imaginary);
    }
    work[0].real = scale * fabs(first);
    work[HALF].real = scale * fabs(last);
}

/* KWS_MEL_CHANNELS logarithms of what each mel filter passes of the magnitudes. */
static void log_mel(const kws_work *magnitude, kws_work *energies)
{
    const kws_real *weight = mel_weights;
    int32_t channel, i;
    for (channel = 0; channel < KWS_MEL_CHANNELS; ++channel) {
        const kws_work *passed = magnitude + mel_first[channel];
        kws_real sum = 0;
        for (i = 0; i < mel_count[channel]; ++i) {
            sum += passed[i].real * *weight++;
        }
        energies[channel].real = log(sum > energy_floor ? sum : energy_floor);
    }
}

void kws_features_of(const int16_t *samples, kws_work *work, kws_real *features)
{
    kws_work *energies = work + HALF + 1;
    int32_t i;
    magnitudes(work, apply_window(samples, work));
    log_mel(work, energies);
#ifdef KWS_DCT
    {
        const kws_real *weight = dct;
        int32_t coefficient;
        for (coefficient = 0; coefficient < KWS_CHANNEL_COUNT; ++coefficient) {
            kws_real sum = 0;
            for (i = 0; i < KWS_MEL_CHANNELS; ++i) {
                sum += energies[i].real * *weight++;
            }
            features[coefficient] = sum;
        }
    }
#else
    for (i = 0; i < KWS_CHANNEL_COUNT; ++i) {
        features[i] = energies[i].real;
    }
#endif
}

int8_t kws_quantized(kws_real feature)
{
    const kws_real integer = rint(feature / (kws_real)KWS_INPUT_SCALE) + KWS_INPUT_ZERO;
    return (int8_t)(integer < INT8_MIN ? INT8_MIN : integer > INT8_MAX ? INT8_MAX : integer);
}
