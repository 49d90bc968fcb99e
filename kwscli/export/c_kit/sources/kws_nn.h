/* The kernels that the network calls: 8-bit integers in and out, with the arithmetic of TensorFlow Lite's reference
 * kernels, bit for bit. To use other kernels, such as those of CMSIS-NN, implement these functions in another file and
 * compile it instead of kws_nn.c.
 *
 * A tensor is [height][width][channels]: time, frequency, channels. A real value is scale * (integer - zero).
 * A factor is multiplier * 2^(shift - 31). */
#ifndef KWS_NN_H
#define KWS_NN_H

#include <stdint.h>

/* Where a window slides over a tensor. The window may reach over the edges. */
typedef struct {
    int32_t input_height, input_width, channels;
    int32_t output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t pad_top, pad_left;
} kws_window;

/* A convolution, or a fully connected layer, which is a convolution of a tensor of 1 x 1. */
typedef struct {
    kws_window window;
    int32_t filters;
    int32_t input_zero, output_zero, low, high;  /* the output is limited to low and high */
    const int8_t *weights;                       /* [filters][kernel_height][kernel_width][channels] */
    const int32_t *biases;                       /* [filters] */
    const int32_t *multipliers;                  /* [filters] */
    const int8_t *shifts;                        /* [filters] */
} kws_convolution;

/* The mean of each window: the sum of (input - input_zero) times a factor. The windows do not reach over edges. */
typedef struct {
    kws_window window;
    int32_t input_zero, output_zero;
    int32_t multiplier, shift;
} kws_mean_layer;

typedef struct {
    kws_window window;
    int32_t low, high;
} kws_pool;

/* Two tensors of up to four axes. The stride of an axis that one of them lacks is 0. */
typedef struct {
    int32_t shape[4];
    int32_t strides[2][4];
    int32_t zeros[2], output_zero, low, high;
    int32_t multipliers[2], shifts[2];           /* of the inputs; kws_multiply does not use them */
    int32_t multiplier, shift;                   /* of the output */
} kws_pair;

/* Part of a tensor of up to four axes, whose strides may be several elements, inside an area with one value. */
typedef struct {
    int32_t shape[4];                            /* of the output */
    int32_t before[4], size[4];                  /* where the part begins in the output, and its size */
    int32_t first;                               /* the first element of the part in the input */
    int32_t strides[4];                          /* in the input */
    int32_t value;                               /* around the part */
} kws_part;

typedef struct {
    int32_t size;
    int32_t multiplier, shift, lowest;           /* differences below the lowest count as minus infinity */
} kws_softmax_layer;

void kws_convolve(const kws_convolution *layer, const int8_t *input, int8_t *output);

/* As above, with one filter per channel: weights [kernel_height][kernel_width][channels]. */
void kws_convolve_depthwise(const kws_convolution *layer, const int8_t *input, int8_t *output);

void kws_mean(const kws_mean_layer *layer, const int8_t *input, int8_t *output);
void kws_average_pool(const kws_pool *layer, const int8_t *input, int8_t *output);
void kws_max_pool(const kws_pool *layer, const int8_t *input, int8_t *output);
void kws_add(const kws_pair *layer, const int8_t *first, const int8_t *second, int8_t *output);
void kws_multiply(const kws_pair *layer, const int8_t *first, const int8_t *second, int8_t *output);
void kws_copy_part(const kws_part *layer, const int8_t *input, int8_t *output);

/* A function of one value, as a table that begins with that of -128. */
void kws_look_up(const int8_t table[256], int32_t size, const int8_t *input, int8_t *output);

/* Scores: 256 * (exp of an input / sum of all exps) - 128. */
void kws_softmax(const kws_softmax_layer *layer, const int8_t *input, int8_t *output);

#endif
