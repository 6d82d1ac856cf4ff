/* SPDX-License-Identifier: Apache-2.0 */
/* Freestanding code that exports functions: its pointers work only where the
   loader has relocated it. */

#ifndef WEAK
#define WEAK __attribute__((weak))
#endif
extern int not_there WEAK;

int numbers[3] = {1, 2, 3};
int* second = &numbers[1];

static int twice(int value) { return 2 * value; }
int add(int a, int b) { return a + b; }

struct operation {
  const char* name;
  int (*call)(int, int);
};
const struct operation operations[] = {{"add", add}};
static int (*const hidden[])(int) = {twice, twice};

int started;
__attribute__((constructor)) static void Start(void) { started = 42; }

/* By way of a pointer to data, one to a function, and the table of symbols. */
int Sum(int which) {
  return *second + operations[which].call(10, 20) + hidden[which](100) +
         operations[which].name[0] + started;
}

int NotThere(void) { return &not_there != 0 ? not_there : 0; }
