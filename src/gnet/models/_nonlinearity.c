/* The readout's non-linearity, f(x) = tanh(x) log(1 + |x|), and its derivative, in one pass over memory.

       f'(x) = (1 - tanh(x)^2) log(1 + |x|) + |tanh(x)| / (1 + |x|)

   Loops over features are written for the compiler's vectoriser: no branches, no calls of libm. On x86-64, GCC
   compiles each of them for three instruction sets, and the program takes the best that the processor has.

   Approximations, with the largest relative error of the polynomials as rounded to single precision:

       tanh(x)     = x P(x^2) / Q(x^2) for |x| <= 9, degrees 4 and 4            4e-8
                     tanh(9) beyond, which is 1 in single precision             3e-8
       log(1 + a)  = k log 2 + r S(r), a = 2^k (1 + r) - 1, r in [-1/4, 1/2),
                     degree 8. r = 2^-k a + (2^-k - 1) loses nothing near 0     5e-8

   Rounding adds a few times 6e-8 to each. Measured against double precision for 1e-18 < |x| < 1e5: the relative
   error of f is at most 5e-7, the absolute error of f' at most 2e-6, most of it where tanh is nearly 1. Infinite and
   NaN arguments, and those beyond 2.5e38, give values that are not finite.

   Arrays are contiguous. Types are float, or bfloat16 (`half`): the upper 16 bits of a float, rounded to nearest
   even; sums are in single precision. OpenMP shares rows among threads, so that no result depends on their number.
   Python calls these functions with ctypes: no Python header is needed, and no torch. The OpenMP runtime is the one
   that torch has loaded: this file is compiled with -fopenmp but not linked with it. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define VECTORISED static __attribute__((noinline, target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define VECTORISED static __attribute__((noinline))
#endif
#define INLINE static inline __attribute__((always_inline))
#define TILE 256            /* features at a time, unpacked from bfloat16 into the first-level cache */
#define WORTH_THREADS 16384 /* elements */

/* Changes with the functions' arguments: a library of another version is not used. */
const int32_t gnet_version = 1;

INLINE float from_bits(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
INLINE uint32_t to_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

/* log(1 + a), a >= 0 */
INLINE float log_one_plus(float a)
{
    const int32_t k = (int32_t)(to_bits(1.0f + a) - 0x3f400000u) >> 23; /* 3/4 <= 2^-k (1 + a) < 3/2 */
    const float scale = from_bits((uint32_t)(127 - k) << 23);           /* 2^-k */
    const float r = a * scale + (scale - 1.0f);
    float s = 0.054111753f;
    s = s * r - 0.120767206f;
    s = s * r + 0.14994498f;
    s = s * r - 0.16824313f;
    s = s * r + 0.19975913f;
    s = s * r - 0.24993218f;
    s = s * r + 0.33333594f;
    s = s * r - 0.50000066f;
    s = s * r + 1.0f;
    return s * r + (float)k * 0.69314718f;
}

INLINE float clamped(float x) { x = x > 9.0f ? 9.0f : x; return x < -9.0f ? -9.0f : x; }

/* P and Q of tanh */
INLINE float numerator(float z)
{
    float p = 1.3354662e-08f;
    p = p * z + 2.0609083e-05f;
    p = p * z + 0.0034955882f;
    p = p * z + 0.13381025f;
    return p * z + 1.0f;
}

INLINE float denominator(float z)
{
    float q = 7.776559e-07f;
    q = q * z + 0.00032856347f;
    q = q * z + 0.025876982f;
    q = q * z + 0.46714342f;
    return q * z + 1.0f;
}

INLINE float value_at(float x)
{
    const float c = clamped(x), z = c * c;
    return c * numerator(z) / denominator(z) * log_one_plus(fabsf(x));
}

/* One division serves tanh and 1 / (1 + |x|); the latter is 1e-18 instead of less. */
INLINE void value_and_slope_at(float x, float *value, float *slope)
{
    const float a = fabsf(x), c = clamped(x), z = c * c, q = denominator(z), log = log_one_plus(a);
    const float u = 1.0f + (a > 1e18f ? 1e18f : a), inverse = 1.0f / (q * u);
    const float tanh = c * numerator(z) * u * inverse;
    *value = tanh * log;
    *slope = (1.0f - tanh * tanh) * log + fabsf(tanh) * (q * inverse);
}

/* `n` <= TILE elements as floats: in place, or unpacked into the tile. */
INLINE const float *floats(const void *from, int64_t start, int64_t n, int half, float *tile)
{
    if (!half)
        return (const float *)from + start;
    const uint16_t *bits = (const uint16_t *)from + start;
    for (int64_t k = 0; k < n; k++)
        tile[k] = from_bits((uint32_t)bits[k] << 16);
    return tile;
}

/* Where `n` results go until `stored`: in place, or the tile. */
INLINE float *room(void *to, int64_t start, int half, float *tile) { return half ? tile : (float *)to + start; }

INLINE void stored(void *to, int64_t start, int64_t n, int half, const float *tile)
{
    if (!half)
        return;
    uint16_t *out = (uint16_t *)to + start;
    for (int64_t k = 0; k < n; k++) {
        const uint32_t bits = to_bits(tile[k]);
        out[k] = tile[k] == tile[k] ? (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16) : 0x7fc0u;
    }
}

#define FOR_TILES for (int64_t start = 0, n; n = features - start < TILE ? features - start : TILE, start < features; start += TILE)

/* Each row function exists for both types: `half` must be a constant for its loops to be vectorised. */
INLINE void responses_row(const void *phi, const float *weight, float *response, int64_t images, int64_t features, int half)
{
    float tile[TILE];
    for (int64_t i = 0; i < images; i++) {
        float sum = 0;
        FOR_TILES {
            const float *x = floats(phi, i * features + start, n, half, tile), *w = weight + start;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = 0; k < n; k++)
                sum += w[k] * value_at(x[k]);
        }
        response[i] = sum;
    }
}

INLINE void gradients_row(void *phi, const float *weight, const float *towards, float *weight_slope, int64_t images,
                          int64_t features, int half)
{
    float tile[TILE];
    for (int64_t i = 0; i < images; i++) {
        const float t = towards[i];
        FOR_TILES {
            const float *x = floats(phi, i * features + start, n, half, tile), *w = weight + start;
            float *out = room(phi, i * features + start, half, tile), *sum = weight_slope + start;
#pragma omp simd
            for (int64_t k = 0; k < n; k++) {
                float value, slope;
                value_and_slope_at(x[k], &value, &slope);
                sum[k] += value * t;
                out[k] = slope * w[k] * t;
            }
            stored(phi, i * features + start, n, half, tile);
        }
    }
}

INLINE void compress_row(const void *x, void *out, int64_t features, int half, int out_half)
{
    float tile[TILE], out_tile[TILE];
    FOR_TILES {
        const float *from = floats(x, start, n, half, tile);
        float *to = room(out, start, out_half, out_tile);
#pragma omp simd
        for (int64_t k = 0; k < n; k++)
            to[k] = value_at(from[k]);
        stored(out, start, n, out_half, out_tile);
    }
}

INLINE void slope_row(const void *x, const float *upstream, float factor, void *out, int64_t features, int half)
{
    float tile[TILE], out_tile[TILE];
    FOR_TILES {
        const float *from = floats(x, start, n, half, tile), *up = upstream + start;
        float *to = room(out, start, half, out_tile);
#pragma omp simd
        for (int64_t k = 0; k < n; k++) {
            float value, slope;
            value_and_slope_at(from[k], &value, &slope);
            to[k] = slope * up[k] * factor;
        }
        stored(out, start, n, half, out_tile);
    }
}

#define RESPONSES(name, half) \
    VECTORISED void name(const void *phi, const float *w, float *r, int64_t images, int64_t features) \
    { responses_row(phi, w, r, images, features, half); }
#define GRADIENTS(name, half) \
    VECTORISED void name(void *phi, const float *w, const float *t, float *s, int64_t images, int64_t features) \
    { gradients_row(phi, w, t, s, images, features, half); }
#define COMPRESS(name, half, out_half) \
    VECTORISED void name(const void *x, void *out, int64_t features) { compress_row(x, out, features, half, out_half); }
#define SLOPE(name, half) \
    VECTORISED void name(const void *x, const float *up, float factor, void *out, int64_t features) \
    { slope_row(x, up, factor, out, features, half); }

RESPONSES(responses_float, 0)
RESPONSES(responses_half, 1)
GRADIENTS(gradients_float, 0)
GRADIENTS(gradients_half, 1)
COMPRESS(compress_float_float, 0, 0)
COMPRESS(compress_float_half, 0, 1)
COMPRESS(compress_half_float, 1, 0)
COMPRESS(compress_half_half, 1, 1)
SLOPE(slope_float, 0)
SLOPE(slope_half, 1)

static int64_t bytes(int half) { return half ? 2 : 4; }

/* response(voxel, image) = sum_k weight(voxel, k) f(phi(voxel, image, k)) */
void gnet_responses(const void *phi, int half, const float *weight, float *response, int64_t voxels, int64_t images,
                    int64_t features)
{
#pragma omp parallel for schedule(static) if (voxels * images * features > WORTH_THREADS)
    for (int64_t v = 0; v < voxels; v++) {
        const char *row = (const char *)phi + v * images * features * bytes(half);
        (half ? responses_half : responses_float)(row, weight + v * features, response + v * images, images, features);
    }
}

/* Given the gradient of the loss at the responses, towards(voxel, image): add that of the weights,
       weight_slope(voxel, k) += sum_image towards(voxel, image) f(phi(voxel, image, k)),
   and put that of phi in its place: towards(voxel, image) weight(voxel, k) f'(phi(voxel, image, k)). */
void gnet_gradients(void *phi, int half, const float *weight, const float *towards, float *weight_slope, int64_t voxels,
                    int64_t images, int64_t features)
{
#pragma omp parallel for schedule(static) if (voxels * images * features > WORTH_THREADS)
    for (int64_t v = 0; v < voxels; v++) {
        char *row = (char *)phi + v * images * features * bytes(half);
        (half ? gradients_half : gradients_float)(row, weight + v * features, towards + v * images,
                                                  weight_slope + v * features, images, features);
    }
}

/* out(pixel, image, k) = f(maps(image, pixel, k)) */
void gnet_compress(const void *maps, int half, void *out, int out_half, int64_t images, int64_t pixels, int64_t features)
{
    void (*const rows[2][2])(const void *, void *, int64_t) = {{compress_float_float, compress_float_half},
                                                               {compress_half_float, compress_half_half}};
#pragma omp parallel for collapse(2) schedule(static) if (images * pixels * features > WORTH_THREADS)
    for (int64_t i = 0; i < images; i++)
        for (int64_t p = 0; p < pixels; p++)
            rows[half][out_half]((const char *)maps + (i * pixels + p) * features * bytes(half),
                                 (char *)out + (p * images + i) * features * bytes(out_half), features);
}

/* out(image, pixel, k) = factor upstream(pixel, image, k) f'(maps(image, pixel, k)) */
void gnet_slope(const void *maps, int half, const float *upstream, float factor, void *out, int64_t images,
                int64_t pixels, int64_t features)
{
#pragma omp parallel for collapse(2) schedule(static) if (images * pixels * features > WORTH_THREADS)
    for (int64_t i = 0; i < images; i++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = (i * pixels + p) * features * bytes(half);
            (half ? slope_half : slope_float)((const char *)maps + at, upstream + (p * images + i) * features, factor,
                                              (char *)out + at, features);
        }
}
