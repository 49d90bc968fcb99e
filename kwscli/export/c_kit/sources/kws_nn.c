/* Portable kernels. They need a compiler that shifts negative integers to the right arithmetically, as all usual ones
 * do. See kws_nn.h. */
#include "kws_nn.h"

/* ---- Fixed-point arithmetic ---- */

/* a * b / 2^31, rounded; the limit of the type if it does not fit. */
static int32_t high_product(int32_t a, int32_t b)
{
    const int64_t product = (int64_t)a * b;
    const int32_t nudge = product >= 0 ? 1 << 30 : 1 - (1 << 30);
    return a == INT32_MIN && b == INT32_MIN ? INT32_MAX : (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

/* x / 2^exponent, rounded; a half is rounded away from zero. */
static int32_t rounded_shift(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/* x * 2^exponent; the limit of the type if it does not fit. */
static int32_t limited_shift(int32_t x, int32_t exponent)
{
    const int64_t shifted = (int64_t)x * ((int64_t)1 << exponent);
    return shifted > INT32_MAX ? INT32_MAX : shifted < INT32_MIN ? INT32_MIN : (int32_t)shifted;
}

/* x * multiplier * 2^(shift - 31), rounded twice, as the reference kernels do. */
static int32_t scaled(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    return rounded_shift(high_product((int32_t)((uint32_t)x << left), multiplier), left - shift);
}

static int8_t limited(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

/* ---- Windows ---- */

/* The part of a window that is inside of the input. */
typedef struct {
    int32_t top, left, rows, columns;     /* in the input */
    int32_t skipped_rows, skipped_columns; /* of the kernel, before the part */
} part;

static part part_at(const kws_window *window, int32_t y, int32_t x)
{
    const int32_t top = y * window->stride_height - window->pad_top;
    const int32_t left = x * window->stride_width - window->pad_left;
    const int32_t bottom = top + window->kernel_height, right = left + window->kernel_width;
    part found;
    found.top = top < 0 ? 0 : top;
    found.left = left < 0 ? 0 : left;
    found.rows = (bottom > window->input_height ? window->input_height : bottom) - found.top;
    found.columns = (right > window->input_width ? window->input_width : right) - found.left;
    found.skipped_rows = found.top - top;
    found.skipped_columns = found.left - left;
    return found;
}

static const int8_t *start_of(const kws_window *window, const part *at, const int8_t *input)
{
    return input + (at->top * window->input_width + at->left) * window->channels;
}

/* ---- Layers ---- */

static int8_t output_of(const kws_convolution *layer, int32_t filter, int32_t sum)
{
    sum = scaled(sum + layer->biases[filter], layer->multipliers[filter], layer->shifts[filter]);
    return limited(sum + layer->output_zero, layer->low, layer->high);
}

void kws_convolve(const kws_convolution *layer, const int8_t *input, int8_t *output)
{
    const kws_window *window = &layer->window;
    const int32_t offset = -layer->input_zero, filters = layer->filters;
    const int32_t input_row = window->input_width * window->channels;
    const int32_t kernel_row = window->kernel_width * window->channels;
    const int32_t filter_size = window->kernel_height * kernel_row;
    int32_t y, x, filter, row, i;
    for (y = 0; y < window->output_height; ++y) {
        for (x = 0; x < window->output_width; ++x) {
            const part at = part_at(window, y, x);
            const int8_t *start = start_of(window, &at, input);
            const int8_t *weights = layer->weights;
            const int32_t length = at.columns * window->channels;
            weights += at.skipped_rows * kernel_row + at.skipped_columns * window->channels;
            /* Four filters at once read each input once. */
            for (filter = 0; filter + 4 <= filters; filter += 4) {
                int32_t sum_0 = 0, sum_1 = 0, sum_2 = 0, sum_3 = 0;
                for (row = 0; row < at.rows; ++row) {
                    const int8_t *values = start + row * input_row;
                    const int8_t *weights_0 = weights + row * kernel_row;
                    const int8_t *weights_1 = weights_0 + filter_size;
                    const int8_t *weights_2 = weights_1 + filter_size;
                    const int8_t *weights_3 = weights_2 + filter_size;
                    for (i = 0; i < length; ++i) {
                        const int32_t value = values[i] + offset;
                        sum_0 += value * weights_0[i];
                        sum_1 += value * weights_1[i];
                        sum_2 += value * weights_2[i];
                        sum_3 += value * weights_3[i];
                    }
                }
                *output++ = output_of(layer, filter, sum_0);
                *output++ = output_of(layer, filter + 1, sum_1);
                *output++ = output_of(layer, filter + 2, sum_2);
                *output++ = output_of(layer, filter + 3, sum_3);
                weights += 4 * filter_size;
            }
            for (; filter < filters; ++filter) {
                int32_t sum = 0;
                for (row = 0; row < at.rows; ++row) {
                    const int8_t *values = start + row * input_row;
                    const int8_t *row_weights = weights + row * kernel_row;
                    for (i = 0; i < length; ++i) {
                        sum += (values[i] + offset) * row_weights[i];
                    }
                }
                *output++ = output_of(layer, filter, sum);
                weights += filter_size;
            }
        }
    }
}

void kws_convolve_depthwise(const kws_convolution *layer, const int8_t *input, int8_t *output)
{
    const kws_window *window = &layer->window;
    const int32_t offset = -layer->input_zero, channels = window->channels;
    const int32_t input_row = window->input_width * channels, kernel_row = window->kernel_width * channels;
    int32_t y, x, channel, row, column;
    for (y = 0; y < window->output_height; ++y) {
        for (x = 0; x < window->output_width; ++x) {
            const part at = part_at(window, y, x);
            const int8_t *start = start_of(window, &at, input);
            const int8_t *weights = layer->weights;
            weights += at.skipped_rows * kernel_row + at.skipped_columns * channels;
            for (channel = 0; channel < channels; ++channel) {
                int32_t sum = 0;
                for (row = 0; row < at.rows; ++row) {
                    const int8_t *value = start + row * input_row + channel;
                    const int8_t *weight = weights + row * kernel_row + channel;
                    for (column = 0; column < at.columns; ++column) {
                        sum += (*value + offset) * *weight;
                        value += channels;
                        weight += channels;
                    }
                }
                *output++ = output_of(layer, channel, sum);
            }
        }
    }
}

/* The sum of (input - zero) of one channel of a window. */
static int32_t sum_of(const kws_window *window, const part *at, const int8_t *start, int32_t zero)
{
    int32_t row, column, sum = 0;
    for (row = 0; row < at->rows; ++row) {
        const int8_t *value = start + row * window->input_width * window->channels;
        for (column = 0; column < at->columns; ++column) {
            sum += *value - zero;
            value += window->channels;
        }
    }
    return sum;
}

void kws_mean(const kws_mean_layer *layer, const int8_t *input, int8_t *output)
{
    const kws_window *window = &layer->window;
    int32_t y, x, channel;
    for (y = 0; y < window->output_height; ++y) {
        for (x = 0; x < window->output_width; ++x) {
            const part at = part_at(window, y, x);
            const int8_t *start = start_of(window, &at, input);
            for (channel = 0; channel < window->channels; ++channel) {
                const int32_t sum = sum_of(window, &at, start + channel, layer->input_zero);
                const int32_t mean = scaled(sum, layer->multiplier, layer->shift) + layer->output_zero;
                *output++ = limited(mean, INT8_MIN, INT8_MAX);
            }
        }
    }
}

void kws_average_pool(const kws_pool *layer, const int8_t *input, int8_t *output)
{
    const kws_window *window = &layer->window;
    int32_t y, x, channel;
    for (y = 0; y < window->output_height; ++y) {
        for (x = 0; x < window->output_width; ++x) {
            const part at = part_at(window, y, x);
            const int8_t *start = start_of(window, &at, input);
            const int32_t count = at.rows * at.columns;
            for (channel = 0; channel < window->channels; ++channel) {
                const int32_t sum = sum_of(window, &at, start + channel, 0);
                const int32_t mean = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *output++ = limited(mean, layer->low, layer->high);
            }
        }
    }
}

void kws_max_pool(const kws_pool *layer, const int8_t *input, int8_t *output)
{
    const kws_window *window = &layer->window;
    const int32_t input_row = window->input_width * window->channels;
    int32_t y, x, channel, row, column;
    for (y = 0; y < window->output_height; ++y) {
        for (x = 0; x < window->output_width; ++x) {
            const part at = part_at(window, y, x);
            const int8_t *start = start_of(window, &at, input);
            for (channel = 0; channel < window->channels; ++channel) {
                int32_t largest = INT8_MIN;
                for (row = 0; row < at.rows; ++row) {
                    const int8_t *value = start + row * input_row + channel;
                    for (column = 0; column < at.columns; ++column) {
                        largest = *value > largest ? *value : largest;
                        value += window->channels;
                    }
                }
                *output++ = limited(largest, layer->low, layer->high);
            }
        }
    }
}

/* ---- Two tensors ---- */

/* The integers that are added have this many more bits than the inputs. */
#define ADD_BITS 20

static int8_t sum_of_pair(const kws_pair *layer, int32_t first, int32_t second)
{
    first = scaled((first - layer->zeros[0]) * (1 << ADD_BITS), layer->multipliers[0], layer->shifts[0]);
    second = scaled((second - layer->zeros[1]) * (1 << ADD_BITS), layer->multipliers[1], layer->shifts[1]);
    first = scaled(first + second, layer->multiplier, layer->shift);
    return limited(first + layer->output_zero, layer->low, layer->high);
}

static int8_t product_of_pair(const kws_pair *layer, int32_t first, int32_t second)
{
    first = scaled((first - layer->zeros[0]) * (second - layer->zeros[1]), layer->multiplier, layer->shift);
    return limited(first + layer->output_zero, layer->low, layer->high);
}

static void for_each_pair(
    const kws_pair *layer, const int8_t *first, const int8_t *second, int8_t *output,
    int8_t (*function)(const kws_pair *, int32_t, int32_t))
{
    const int32_t *a = layer->strides[0], *b = layer->strides[1], *shape = layer->shape;
    int32_t i, j, k, m;
    for (i = 0; i < shape[0]; ++i) {
        for (j = 0; j < shape[1]; ++j) {
            for (k = 0; k < shape[2]; ++k) {
                const int8_t *x = first + i * a[0] + j * a[1] + k * a[2];
                const int8_t *y = second + i * b[0] + j * b[1] + k * b[2];
                for (m = 0; m < shape[3]; ++m) {
                    *output++ = function(layer, x[m * a[3]], y[m * b[3]]);
                }
            }
        }
    }
}

void kws_add(const kws_pair *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    for_each_pair(layer, first, second, output, sum_of_pair);
}

void kws_multiply(const kws_pair *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    for_each_pair(layer, first, second, output, product_of_pair);
}

/* ---- Copies ---- */

void kws_copy_part(const kws_part *layer, const int8_t *input, int8_t *output)
{
    int32_t at[4], axis;
    for (at[0] = 0; at[0] < layer->shape[0]; ++at[0]) {
        for (at[1] = 0; at[1] < layer->shape[1]; ++at[1]) {
            for (at[2] = 0; at[2] < layer->shape[2]; ++at[2]) {
                for (at[3] = 0; at[3] < layer->shape[3]; ++at[3]) {
                    int32_t index = layer->first, inside = 1;
                    for (axis = 0; axis < 4; ++axis) {
                        const int32_t position = at[axis] - layer->before[axis];
                        inside = inside && position >= 0 && position < layer->size[axis];
                        index += position * layer->strides[axis];
                    }
                    *output++ = (int8_t)(inside ? input[index] : layer->value);
                }
            }
        }
    }
}

void kws_look_up(const int8_t table[256], int32_t size, const int8_t *input, int8_t *output)
{
    int32_t i;
    for (i = 0; i < size; ++i) {
        output[i] = table[input[i] + 128];
    }
}

/* ---- Softmax ----
 * A number with n integer bits is x / 2^(31 - n). */

/* exp(a) for a in [-1/4, 0): Taylor's series around -1/8. 0 integer bits in and out. */
static int32_t exp_near_zero(int32_t a)
{
    const int32_t exp_of_eighth = 1895147668, third = 715827883;
    const int32_t x = a + (1 << 28), x_2 = high_product(x, x), x_3 = high_product(x_2, x), x_4 = high_product(x_2, x_2);
    const int32_t rest = rounded_shift(high_product(rounded_shift(x_4, 2) + x_3, third) + x_2, 1);
    return exp_of_eighth + high_product(exp_of_eighth, x + rest);
}

/* exp(a) for a <= 0: 5 integer bits in, 0 out. */
static int32_t exp_of(int32_t a)
{
    static const int32_t exps[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    const int32_t near_zero = (a & (quarter - 1)) - quarter, rest = near_zero - a;
    int32_t result = exp_near_zero(limited_shift(near_zero, 5)), i;
    for (i = 0; i < 7; ++i) { /* exp(-1/4), exp(-1/2), exp(-1), ..., exp(-16) */
        if (rest & (1 << (24 + i))) {
            result = high_product(result, exps[i]);
        }
    }
    return a == 0 ? INT32_MAX : result;
}

/* 1 / (1 + a) for a in [0, 1), by Newton's method. 0 integer bits in and out. */
static int32_t reciprocal_of_one_plus(int32_t a)
{
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2), one = 1 << 29;
    int32_t x = 1515870810 + high_product(half, -1010580540), i; /* 48 / 17 - 32 / 17 * half; 2 integer bits */
    for (i = 0; i < 3; ++i) {
        x += limited_shift(high_product(x, one - high_product(half, x)), 2);
    }
    return limited_shift(x, 1);
}

/* The exp of a score less the largest score, 0 integer bits; 0 if it is too small to count. */
static int32_t exp_of_difference(const kws_softmax_layer *layer, int32_t difference)
{
    return difference < layer->lowest ? 0 : exp_of(scaled(difference, layer->multiplier, layer->shift));
}

void kws_softmax(const kws_softmax_layer *layer, const int8_t *input, int8_t *output)
{
    int32_t largest = INT8_MIN, sum = 0, bits = 12, reciprocal, i;
    uint32_t shifted;
    for (i = 0; i < layer->size; ++i) {
        largest = input[i] > largest ? input[i] : largest;
    }
    for (i = 0; i < layer->size; ++i) {
        sum += rounded_shift(exp_of_difference(layer, input[i] - largest), 12); /* 12 integer bits */
    }
    for (shifted = (uint32_t)sum; !(shifted & 0x80000000u); shifted <<= 1) {
        --bits;
    }
    reciprocal = reciprocal_of_one_plus((int32_t)(shifted - 0x80000000u));
    for (i = 0; i < layer->size; ++i) {
        const int32_t share = high_product(reciprocal, exp_of_difference(layer, input[i] - largest));
        output[i] = limited(rounded_shift(share, bits + 31 - 8) + INT8_MIN, INT8_MIN, INT8_MAX);
    }
}
