/* A real FFT of integers, its magnitudes, mel filters, logarithms and, for MFCC, a cosine transform.
 *
 * A loud frame has bands that are 100,000 times quieter than others. In an FFT of 32-bit floats, the rounding of the
 * loud ones would change the logarithms of the quiet ones. So the FFT has integers of 31 bits, which are as large as
 * the frame allows, and which all have one exponent. It needs no floating-point unit, but a compiler that shifts
 * negative integers to the right arithmetically, as all usual ones do.
 *
 * The real FFT of 2 n samples is the complex FFT of n numbers, whose real parts are the even samples and whose
 * imaginary parts are the odd ones, followed by one pass that takes the two apart. */
#include "kws_features.h"

#include <tgmath.h>

#include "kws_tables.h"

#define HALF (KWS_FFT_LENGTH / 2) /* complex numbers */
#define SAMPLE 15 /* a sample is at most 2^15 */
#define TABLE 30  /* 1.0 is 2^30 in the table of the window. In that of cosines it is -2^31; 2^31 would not fit. */
#define LARGE 30  /* parts of complex numbers are at most 2^30 before the FFT, and all numbers below 2^31 after it */

/* -cos(2 pi k / KWS_FFT_LENGTH) for k in [0, KWS_FFT_LENGTH / 2), from the table of a quarter of a wave. */
static int32_t cosine(int32_t k)
{
    return k <= HALF / 2 ? cosines[k] : -cosines[HALF - k];
}

/* -sin(2 pi k / KWS_FFT_LENGTH). */
static int32_t sine(int32_t k)
{
    return k <= HALF / 2 ? cosines[HALF / 2 - k] : cosines[k - HALF / 2];
}

/* All bits of an integer that is not negative, or of the complement of one that is. */
static int32_t bits_of(int32_t value)
{
    return value ^ (value >> 31);
}

/* How often numbers with these bits can be doubled before they reach 2^LARGE. */
static int32_t doublings(int32_t bits)
{
    int32_t count = 0;
    while (count < LARGE && bits << count < 1 << (LARGE - 1)) {
        ++count;
    }
    return count;
}

/* Samples times the window, doubled as often as possible -> how often. */
static int32_t apply_window(const int16_t *samples, kws_work *work)
{
    int32_t i, bits = 1, shift;
    for (i = 0; i < KWS_WINDOW_SAMPLES; ++i) {
        bits |= bits_of(samples[i]);
    }
    shift = TABLE - doublings(bits);
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

/* One stage of the FFT: pairs of numbers that are `size` apart, times `factor`, halved and rounded once. No complex
 * number becomes larger than the largest one was, so all stay below 2^31. Returns all bits of the results. */
static int32_t stage(kws_work *work, int32_t size, int32_t factor)
{
    const int64_t one = (int64_t)1 << 31;
    int32_t offset, i, bits = 0;
    for (offset = 0; offset < size; ++offset) {
        const int32_t c = cosine(offset * (HALF / size)), s = sine(offset * (HALF / size));
        for (i = offset; i < HALF; i += 2 * size) {
            kws_work *a = work + 2 * i, *b = work + 2 * (i + size);
            const int32_t b_real = b[0].integer * factor, b_imaginary = b[1].integer * factor;
            const int64_t a_real = (a[0].integer * factor + (int64_t)1) * one; /* the 1 is for rounding */
            const int64_t a_imaginary = (a[1].integer * factor + (int64_t)1) * one;
            const int64_t real = (int64_t)b_real * c + (int64_t)b_imaginary * s;
            const int64_t imaginary = (int64_t)b_imaginary * c - (int64_t)b_real * s;
            a[0].integer = (int32_t)((a_real - real) >> 32);
            a[1].integer = (int32_t)((a_imaginary - imaginary) >> 32);
            b[0].integer = (int32_t)((a_real + real) >> 32);
            b[1].integer = (int32_t)((a_imaginary + imaginary) >> 32);
            bits |= bits_of(a[0].integer) | bits_of(a[1].integer) | bits_of(b[0].integer) | bits_of(b[1].integer);
        }
    }
    return bits;
}

/* (a - b * c - d * e) / 4 for half of c and e of the table, rounded once. */
static int32_t difference_of(int64_t a, int64_t b, int32_t c, int64_t d, int32_t e)
{
    return (int32_t)((a * ((int64_t)1 << 30) - b * (c / 2) - d * (e / 2) + ((int64_t)1 << 31)) >> 32);
}

/* The complex FFT of the even and the odd samples -> half of that of the samples. The first and the last number of the
 * result are real, and stand in the place of the first one. */
static void take_apart(kws_work *work)
{
    const int64_t even = work[0].integer, odd = work[1].integer;
    int32_t k;
    work[0].integer = (int32_t)((even + odd) / 2);
    work[1].integer = (int32_t)((even - odd) / 2);
    for (k = 1; k <= HALF / 2; ++k) {
        kws_work *a = work + 2 * k, *b = work + 2 * (HALF - k);
        const int64_t a_real = a[0].integer, a_imaginary = a[1].integer;
        const int64_t b_real = b[0].integer, b_imaginary = b[1].integer;
        const int64_t even_real = a_real + b_real, even_imaginary = a_imaginary - b_imaginary;
        const int64_t odd_real = a_imaginary + b_imaginary, odd_imaginary = b_real - a_real;
        const int32_t c = cosine(k), s = sine(k);
        a[0].integer = difference_of(even_real, odd_real, c, odd_imaginary, s);
        a[1].integer = difference_of(even_imaginary, odd_imaginary, c, -odd_real, s);
        b[0].integer = difference_of(even_real, -odd_real, c, -odd_imaginary, s);
        b[1].integer = difference_of(-even_imaginary, odd_imaginary, c, -odd_real, s);
    }
}

/* The FFT of windowed samples that were doubled a number of times -> its HALF + 1 magnitudes, in place. */
static void magnitudes(kws_work *work, int32_t doubled)
{
    kws_real scale, first, last;
    int32_t k, size, more = 0;
    reorder(work);
    for (size = 1; size < HALF; size *= 2) {
        const int32_t bits = stage(work, size, 1 << more);
        doubled += more - 1;
        more = doublings(bits);
    }
    take_apart(work);
    scale = ldexp((kws_real)1, 1 - doubled - SAMPLE);
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
