/* SPDX-License-Identifier: Apache-2.0 */
/* A program that ends as its argument says, for sandbox_run_test. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int Overflow(int depth) {
  volatile char frame[4096];
  frame[0] = (char)depth;
  return Overflow(depth + 1) + frame[0];
}

int main(int argc, char** argv) {
  const char* const how = argc > 1 ? argv[1] : "";
  if (strcmp(how, "write") == 0) *(volatile int*)0x10 = 1;
  if (strcmp(how, "overflow") == 0) return Overflow(0);
  if (strcmp(how, "divide") == 0) {
    volatile int zero = 0;
    return argc / zero;
  }
  if (strcmp(how, "undefined") == 0) __builtin_trap();
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "loop") == 0) {
    for (;;) __asm__ volatile("");
  }
  if (strcmp(how, "pause") == 0) pause();
  if (strcmp(how, "sleep") == 0) {
    if (write(1, "go\n", 3) != 3) return 4;
    sleep(1000);
  }
  if (strcmp(how, "hoard") == 0) {
    for (;;) {
      char* const block = malloc(1 << 20);
      if (block == NULL) return 3;
      memset(block, 1, 1 << 20);
    }
  }
  return 0;
}
