/* The magnitudes of a real FFT, mel filters, logarithms and, for MFCC, a cosine transform. See kws_features.h.
 *
 * The real FFT of 2 n samples is the complex FFT of n numbers, whose real parts are the even samples and whose imaginary
 * parts are the odd ones, followed by one pass that takes the two apart. */
#include "kws_features.h"

#include <tgmath.h>

#include "kws_tables.h"

#define HALF (KWS_FFT_LENGTH / 2) /* complex numbers */

/* cos(2 pi k / KWS_FFT_LENGTH) for k in [0, KWS_FFT_LENGTH / 2], from the table of a quarter of a wave. */
static kws_real cosine(int32_t k)
{
    return k <= HALF / 2 ? cosines[k] : -cosines[HALF - k];
}

static kws_real sine(int32_t k)
{
    return k <= HALF / 2 ? cosines[HALF / 2 - k] : cosines[k - HALF / 2];
}

/* Put the numbers in the order in which the FFT needs them: the bits of each position reversed. */
static void reorder(kws_real *numbers)
{
    int32_t i, reversed = 0, bit;
    for (i = 1; i < HALF; ++i) {
        for (bit = HALF / 2; reversed & bit; bit /= 2) {
            reversed ^= bit;
        }
        reversed |= bit;
        if (i < reversed) {
            const kws_real real = numbers[2 * i], imaginary = numbers[2 * i + 1];
            numbers[2 * i] = numbers[2 * reversed];
            numbers[2 * i + 1] = numbers[2 * reversed + 1];
            numbers[2 * reversed] = real;
            numbers[2 * reversed + 1] = imaginary;
        }
    }
}

/* The FFT of HALF complex numbers, in place. */
static void complex_fft(kws_real *numbers)
{
    int32_t size, offset, i;
    reorder(numbers);
    for (size = 1; size < HALF; size *= 2) {
        for (offset = 0; offset < size; ++offset) {
            const int32_t angle = offset * (HALF / size);
            const kws_real c = cosine(angle), s = -sine(angle);
            for (i = offset; i < HALF; i += 2 * size) {
                kws_real *a = numbers + 2 * i, *b = numbers + 2 * (i + size);
                const kws_real real = b[0] * c - b[1] * s, imaginary = b[0] * s + b[1] * c;
                b[0] = a[0] - real;
                b[1] = a[1] - imaginary;
                a[0] += real;
                a[1] += imaginary;
            }
        }
    }
}

/* KWS_FFT_LENGTH samples -> HALF + 1 magnitudes, in place. */
static void magnitudes(kws_real *work)
{
    const kws_real half = (kws_real)0.5;
    kws_real first, last;
    int32_t k;
    complex_fft(work);
    first = work[0] + work[1];
    last = work[0] - work[1];
    for (k = 1; k <= HALF / 2; ++k) {
        kws_real *a = work + 2 * k, *b = work + 2 * (HALF - k);
        /* The spectra of the even and of the odd samples. */
        const kws_real even_real = half * (a[0] + b[0]), even_imaginary = half * (a[1] - b[1]);
        const kws_real odd_real = half * (a[1] + b[1]), odd_imaginary = half * (b[0] - a[0]);
        const kws_real c = cosine(k), s = -sine(k);
        const kws_real real = odd_real * c - odd_imaginary * s, imaginary = odd_real * s + odd_imaginary * c;
        a[0] = even_real + real;
        a[1] = even_imaginary + imaginary;
        b[0] = even_real - real;
        b[1] = imaginary - even_imaginary;
    }
    work[0] = fabs(first);
    for (k = 1; k < HALF; ++k) {
        work[k] = sqrt(work[2 * k] * work[2 * k] + work[2 * k + 1] * work[2 * k + 1]);
    }
    work[HALF] = fabs(last);
}

/* KWS_MEL_CHANNELS logarithms of what each mel filter passes of the magnitudes. */
static void log_mel(const kws_real *magnitude, kws_real *energies)
{
    const kws_real *weight = mel_weights;
    int32_t channel, i;
    for (channel = 0; channel < KWS_MEL_CHANNELS; ++channel) {
        const kws_real *passed = magnitude + mel_first[channel];
        kws_real sum = 0;
        for (i = 0; i < mel_count[channel]; ++i) {
            sum += passed[i] * *weight++;
        }
        energies[channel] = log(sum > energy_floor ? sum : energy_floor);
    }
}

void kws_features_of(const int16_t *samples, kws_real *work, kws_real *features)
{
    const kws_real full_scale = 32768;
    kws_real *energies = work + HALF + 1;
    int32_t i;
    for (i = 0; i < KWS_WINDOW_SAMPLES; ++i) {
        work[i] = samples[i] / full_scale * hann[i <= KWS_WINDOW_SAMPLES / 2 ? i : KWS_WINDOW_SAMPLES - i];
    }
    for (; i < KWS_FFT_LENGTH; ++i) {
        work[i] = 0;
    }
    magnitudes(work);
    log_mel(work, energies);
#ifdef KWS_DCT
    {
        const kws_real *weight = dct;
        int32_t coefficient;
        for (coefficient = 0; coefficient < KWS_CHANNEL_COUNT; ++coefficient) {
            kws_real sum = 0;
            for (i = 0; i < KWS_MEL_CHANNELS; ++i) {
                sum += energies[i] * *weight++;
            }
            features[coefficient] = sum;
        }
    }
#else
    for (i = 0; i < KWS_CHANNEL_COUNT; ++i) {
        features[i] = energies[i];
    }
#endif
}

int8_t kws_quantized(kws_real feature)
{
    const kws_real integer = rint(feature / (kws_real)KWS_INPUT_SCALE) + KWS_INPUT_ZERO;
    return (int8_t)(integer < INT8_MIN ? INT8_MIN : integer > INT8_MAX ? INT8_MAX : integer);
}
