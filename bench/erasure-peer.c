// ISA-L as a program that the benchmark asks, so that both are measured in one run. Linked by the benchmark only.
//
// Reads lines "k rows length milliseconds coefficients" from standard input, the coefficients as hex, row by row.
// Answers each with the bytes of source that it turned into rows per second of processor time.
#include <isa-l/erasure_code.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHARDS_MAX = 255, LINE_MAX_BYTES = 2 * SHARDS_MAX * SHARDS_MAX + 100 };

static double processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned char *shard(size_t length, int fill) {
  unsigned char *bytes = malloc(length);
  if (bytes == NULL) exit(1);
  for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)(i * 31 + (size_t)fill);
  return bytes;
}

// Doubles the batch until one takes long enough.
static double measure(int k, int rows, int length, double seconds, unsigned char *tables,
                      unsigned char **sources, unsigned char **targets) {
  for (long batch = 1;; batch *= 2) {
    const double begun = processor_seconds();
    for (long i = 0; i < batch; i++) ec_encode_data(length, k, rows, tables, sources, targets);
    const double taken = processor_seconds() - begun;
    if (taken >= seconds) return (double)batch * (double)k * (double)length / taken;
  }
}

int main(void) {
  static char line[LINE_MAX_BYTES], hex[LINE_MAX_BYTES];
  static unsigned char coefficients[SHARDS_MAX * SHARDS_MAX];
  static unsigned char tables[32 * SHARDS_MAX * SHARDS_MAX];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int k, rows, length;
    double milliseconds;
    if (sscanf(line, "%d %d %d %lf %s", &k, &rows, &length, &milliseconds, hex) != 5) return 1;
    if (k < 1 || rows < 1 || k > SHARDS_MAX || rows > SHARDS_MAX || length < 1) return 1;
    for (int i = 0; i < k * rows; i++) {
      unsigned value;
      if (sscanf(hex + 2 * i, "%2x", &value) != 1) return 1;
      coefficients[i] = (unsigned char)value;
    }
    unsigned char *sources[SHARDS_MAX], *targets[SHARDS_MAX];
    for (int i = 0; i < k; i++) sources[i] = shard((size_t)length, i);
    for (int i = 0; i < rows; i++) targets[i] = shard((size_t)length, i);
    ec_init_tables(k, rows, coefficients, tables);
    printf("%.0f\n", measure(k, rows, length, milliseconds / 1000, tables, sources, targets));
    fflush(stdout);
    for (int i = 0; i < k; i++) free(sources[i]);
    for (int i = 0; i < rows; i++) free(targets[i]);
  }
  return 0;
}
