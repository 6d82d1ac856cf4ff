/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin, which nobody trusts. It does what the first byte of a request says:
 * usually its work, which is to write the request in capitals. */
#include "libvmm/sandbox/guest/sandbox.h"

LIBVMM_IMPORT1(long, host_note, const char*)

/* As many as the host sees: a reset takes it back. */
static int calls;

/* More than the sandbox has. Nothing is used until it is touched. */
static volatile char hoard[64 << 20];

static void LoopForEver(void) {
  for (;;) __asm__ volatile("");
}

static void WriteWildly(void) { *(volatile int*)0xdead0000 = 1; }

static int Overflow(int depth) {
  volatile char frame[4096];
  frame[0] = (char)depth;
  return Overflow(depth + 1) + frame[0];
}

/* Not an import: the number of Linux's unlink(2). */
static void RemoveFile(const char* path) {
  libvmm_host_call(87, (long)path, 0, 0, 0, 0, 0);
}

static void Hoard(void) {
  for (unsigned long i = 0; i < sizeof(hoard); i += 4096) hoard[i] = 1;
}

/* How often it has been called. */
LIBVMM_EXPORT int transform(const char* request, char* reply,
                            unsigned long size) {
  ++calls;
  switch (request[0]) {
    case 'L':
      LoopForEver();
      break;
    case 'W':
      WriteWildly();
      break;
    case 'S':
      return Overflow(0);
    case 'R':
      RemoveFile("/etc/passwd");
      break;
    case 'H':
      Hoard();
      break;
    case 'N':
      host_note("a note from the plugin");
      host_note((const char*)0xdead0000);
      break;
    default:
      break;
  }
  for (unsigned long i = 0; i < size; ++i) {
    const char letter = request[i];
    reply[i] =
        letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
  }
  return calls;
}
