// Which candidates of a network's outputs may become detections, and whether all of its numbers are
// finite.  One thread looks at one candidate of one picture.
//
// What may be one is copied to where the CPU reads it; the rest of the outputs never leaves the GPU.
// The comparison is that of the CPU's way (core/heads/scores.py), so that both find the same.
//
// No header is included and no type of CUDA's used, so that a C++ compiler can compile it too:
// that is how it is tested on machines without a GPU.

enum ElementType { FLOAT32, FLOAT16 };
enum { MOST_TABLES = 2 };

// The same as sieve_kernel.py: SieveTable, field by field.
struct SieveTable {
    const void *source;
    void *target;  // null where the CPU reads the source itself
    long long picture_step, candidate_step, column_step;  // in numbers
    int columns, element_type;
};

// The same as sieve_kernel.py: SieveTask, field by field.
struct SieveTask {
    SieveTable tables[MOST_TABLES];  // the first has the scores
    const float *limit;              // what one of the compared columns must reach
    unsigned int *counts;            // of each picture: the candidates found, the numbers that are not finite
    unsigned int *found;             // of each picture: the first so many candidates, in any order
    int table_count, candidate_count, capacity;
    int first, compared, subtracted;  // columns of the scores; no column is subtracted below 0
};

#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
static __device__ float float_of(unsigned int bits) { return __uint_as_float(bits); }
static __device__ float half_value(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
#else
#define UNROLL
#endif

struct Number {
    float value;
    int finite;
};

static __device__ Number number_at(const SieveTable &table, long long at) {
    Number number;
    if (table.element_type == FLOAT16) {
        const unsigned short bits = ((const unsigned short *)table.source)[at];
        number.value = half_value(bits);
        number.finite = (bits & 0x7C00) != 0x7C00;
    } else {
        const unsigned int bits = ((const unsigned int *)table.source)[at];
        number.value = float_of(bits);
        number.finite = (bits & 0x7F800000) != 0x7F800000;
    }
    return number;
}

static __device__ void copy_row(const SieveTable &table, long long row) {
    for (int column = 0; column < table.columns; ++column) {
        const long long at = row + column * table.column_step;
        if (table.element_type == FLOAT16)
            ((unsigned short *)table.target)[at] = ((const unsigned short *)table.source)[at];
        else
            ((unsigned int *)table.target)[at] = ((const unsigned int *)table.source)[at];
    }
}

extern "C" __global__ void sieve(const SieveTask task) {
    const int candidate = blockIdx.x * blockDim.x + threadIdx.x;
    const int picture = blockIdx.y;
    if (candidate >= task.candidate_count) return;
    unsigned int *counts = task.counts + 2 * picture;
    unsigned int odd = 0;
    int wanted = 0;
    // Unrolled: a table that is chosen as the thread runs would first be copied out of the argument.
    UNROLL
    for (int number = 0; number < MOST_TABLES; ++number) {
        if (number >= task.table_count) break;
        const SieveTable &table = task.tables[number];
        const long long row =
            picture * table.picture_step + candidate * table.candidate_step;
        float limit = *task.limit;
        if (number == 0 && task.subtracted >= 0)
            limit = number_at(table, row + task.subtracted * table.column_step).value + limit;
        for (int column = 0; column < table.columns; ++column) {
            const Number seen = number_at(table, row + column * table.column_step);
            if (!seen.finite) ++odd;
            const int compared = column - task.first;
            if (number == 0 && compared >= 0 && compared < task.compared && seen.value >= limit)
                wanted = 1;
        }
    }
    if (odd) atomicAdd(counts + 1, odd);
    if (!wanted) return;
    const unsigned int place = atomicAdd(counts, 1u);
    if (place >= (unsigned int)task.capacity) return;
    task.found[(long long)picture * task.capacity + place] = candidate;
    UNROLL
    for (int number = 0; number < MOST_TABLES; ++number) {
        if (number >= task.table_count) break;
        const SieveTable &table = task.tables[number];
        if (table.target)
            copy_row(table, picture * table.picture_step + candidate * table.candidate_step);
    }
}
