// From raw camera bytes to a network's input in one pass: fit, interpolate, convert colours,
// normalise, quantise and lay out.  One thread makes one pixel of the network's input.
//
// The arithmetic is that of the CPU's way (core/preprocess.py), so that both give the same bytes:
// bilinear weights of 11 bits and the two shifts of cv2.resize (modules/imgproc/src/resize.cpp,
// VResizeLinear for uchar), grey and YUV coefficients of cv2.cvtColor (color_rgb.simd.hpp and
// color_yuv.simd.hpp, ITU-R BT.601 with limited range).  Where a picture is YUV, each of the four
// neighbours is converted before they are mixed.  Where each pixel has its own colour (NV24) they
// are mixed before, and so is brightness for a grey network: as on the CPU, where that is less work.
//
// No header is included and no type of CUDA's used, so that a C++ compiler can compile it too:
// that is how it is tested on machines without a GPU.

enum SourceFormat { BGR8, RGB8, BGRA8, RGBA8, MONO8, YUYV, UYVY, NV12, NV21, NV24 };
enum ColorOrder { TO_BGR, TO_RGB, TO_GRAY };
enum ElementType { FLOAT32, FLOAT16, BFLOAT16, UINT8, INT8 };

// The same as letterbox_kernel.py: LetterboxTask, field by field.
struct LetterboxTask {
    const unsigned char *source;
    void *tensor;
    const unsigned int *columns;  // content_width entries: (source index << 12) | weight of the next
    const unsigned int *rows;     // content_height entries; weights are of 2048
    int source_width, source_height, source_step, source_format;
    int width, height;
    int content_x, content_y, content_width, content_height;
    int color_order, channels_last, element_type, padding;
    float factor[3], offset[3];  // value = byte * factor + offset, in the network's colour order
};

struct Color {
    int b, g, r;  // of a grey picture all three are its grey; of NV24 Y, U and V until mixed
};

#ifdef __CUDACC__
static __device__ unsigned short half_bits(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
static __device__ unsigned int float_bits(float value) { return __float_as_uint(value); }
static __device__ int nearest(float value) { return __float2int_rn(value); }
#endif

static __device__ int limited(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

static __device__ Color from_yuv(int y, int u, int v) {
    const int luma = 1220542 * (y > 16 ? y - 16 : 0) + (1 << 19);
    u -= 128;
    v -= 128;
    Color color;
    color.b = limited((luma + 2116026 * u) >> 20, 0, 255);
    color.g = limited((luma - 409993 * u - 852492 * v) >> 20, 0, 255);
    color.r = limited((luma + 1673527 * v) >> 20, 0, 255);
    return color;
}

static __device__ Color read_pixel(const LetterboxTask &task, int x, int y) {
    const unsigned char *row = task.source + (long long)y * task.source_step;
    const int pair = x & ~1;
    Color color;
    switch (task.source_format) {
        case BGR8:
        case RGB8:
        case BGRA8:
        case RGBA8: {
            const int four = task.source_format == BGRA8 || task.source_format == RGBA8;
            const unsigned char *pixel = row + x * (four ? 4 : 3);
            const int first = pixel[0], last = pixel[2];
            const int red_first = task.source_format == RGB8 || task.source_format == RGBA8;
            color.b = red_first ? last : first;
            color.g = pixel[1];
            color.r = red_first ? first : last;
            return color;
        }
        case MONO8:
            color.b = color.g = color.r = row[x];
            return color;
        case NV12:
        case NV21:
        case NV24: {
            const int luma = row[x];
            if (task.color_order == TO_GRAY) {
                color.b = color.g = color.r = luma;
                return color;
            }
            if (task.source_format == NV24) {  // a row of colours is as long as two others
                const unsigned char *own =
                    task.source +
                    (long long)(task.source_height + 2 * y) * task.source_step + 2 * x;
                color.b = luma;
                color.g = own[0];
                color.r = own[1];
                return color;
            }
            const unsigned char *chroma =
                task.source + (long long)(task.source_height + y / 2) * task.source_step + pair;
            const int swapped = task.source_format == NV21;
            return from_yuv(luma, chroma[swapped], chroma[!swapped]);
        }
        default: {  // YUYV, UYVY: two pixels in four bytes
            const int luma_at = task.source_format == YUYV ? 0 : 1;
            const int luma = row[2 * x + luma_at];
            if (task.color_order == TO_GRAY) {
                color.b = color.g = color.r = luma;
                return color;
            }
            const unsigned char *chroma = row + 2 * pair + 1 - luma_at;
            return from_yuv(luma, chroma[0], chroma[2]);
        }
    }
}

static __device__ int mixed(int a, int b, int c, int d, int right, int below) {
    const int upper = (a * (2048 - right) + b * right) >> 4;
    const int lower = (c * (2048 - right) + d * right) >> 4;
    return ((((2048 - below) * upper) >> 16) + ((below * lower) >> 16) + 2) >> 2;
}

static __device__ Color sample(const LetterboxTask &task, unsigned int column, unsigned int row) {
    const int x = column >> 12, y = row >> 12;
    const int right = column & 4095, below = row & 4095;
    const Color a = read_pixel(task, x, y);
    if ((right | below) == 0) return a;
    // A neighbour of weight 0 may lie outside.
    const int next_x = right ? x + 1 : x, next_y = below ? y + 1 : y;
    const Color b = read_pixel(task, next_x, y);
    const Color c = read_pixel(task, x, next_y);
    const Color d = read_pixel(task, next_x, next_y);
    Color color;
    color.b = mixed(a.b, b.b, c.b, d.b, right, below);
    color.g = mixed(a.g, b.g, c.g, d.g, right, below);
    color.r = mixed(a.r, b.r, c.r, d.r, right, below);
    return color;
}

static __device__ int gray_of(const LetterboxTask &task, Color color) {
    if (task.source_format > MONO8) return from_yuv(color.b, 128, 128).b;
    if (task.source_format == MONO8) return color.b;
    return (3735 * color.b + 19235 * color.g + 9798 * color.r + (1 << 14)) >> 15;
}

static __device__ void write(const LetterboxTask &task, long long at, int byte, int channel) {
    const float value = (float)byte * task.factor[channel] + task.offset[channel];
    switch (task.element_type) {
        case FLOAT32:
            ((float *)task.tensor)[at] = value;
            return;
        case FLOAT16:
            ((unsigned short *)task.tensor)[at] = half_bits(value);
            return;
        case BFLOAT16: {  // the upper half of a float, halves to even
            const unsigned int bits = float_bits(value);
            ((unsigned short *)task.tensor)[at] = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
            return;
        }
        case UINT8:
            ((unsigned char *)task.tensor)[at] = (unsigned char)limited(nearest(value), 0, 255);
            return;
        default:
            ((signed char *)task.tensor)[at] = (signed char)limited(nearest(value), -128, 127);
    }
}

extern "C" __global__ void letterbox(const LetterboxTask task) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= task.width || y >= task.height) return;
    const int column = x - task.content_x, row = y - task.content_y;
    Color color;
    int gray = task.padding;
    color.b = color.g = color.r = task.padding;
    if (column >= 0 && row >= 0 && column < task.content_width && row < task.content_height) {
        color = sample(task, task.columns[column], task.rows[row]);
        gray = gray_of(task, color);
        if (task.source_format == NV24) color = from_yuv(color.b, color.g, color.r);
    }
    const long long pixel = (long long)y * task.width + x;
    if (task.color_order == TO_GRAY) {
        write(task, pixel, gray, 0);
        return;
    }
    const long long first = task.channels_last ? 3 * pixel : pixel;
    const long long step = task.channels_last ? 1 : (long long)task.width * task.height;
    write(task, first, task.color_order == TO_RGB ? color.r : color.b, 0);
    write(task, first + step, color.g, 1);
    write(task, first + 2 * step, task.color_order == TO_RGB ? color.b : color.r, 2);
}
