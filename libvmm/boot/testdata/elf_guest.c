// SPDX-License-Identifier: Apache-2.0
// The guest of elf_guest_test: proves that text, constants, data and bss
// arrived, or breaks a page's rights, as the test asks. Reports a byte through
// port 0xf4.

typedef unsigned char u8;
typedef unsigned long u64;

enum Command {
  kCheckImage = 0,
  kWriteText = 1,
  kWriteConstant = 2,
  kRunData = 3,
};

static void Report(u8 value) {
  __asm__ volatile("outb %0, $0xf4" : : "a"(value) : "memory");
}

static const u64 constants[3] = {3, 5, 7};
// Keeps the compiler from knowing what stands there. (A const volatile array
// would do too, but the compiler puts those among the writable data.)
static const u64* const volatile constants_seen = constants;
static volatile u64 data[3] = {11, 13, 17};
static volatile u64 bss[1000];
// A relocated address: right only if the image runs where it was linked.
static volatile u64* const volatile pointer = &data[1];
// out 0xf4, al
static volatile u8 data_code[2] = {0xe6, 0xf4};

static u8 CheckImage(void) {
  u64 sum = 0;
  for (int i = 0; i < 1000; ++i) sum += bss[i];
  if (sum != 0) return 1;
  const u64* const seen = constants_seen;
  if (seen[0] + seen[1] + seen[2] != 15) return 2;
  if (data[0] + data[1] + data[2] != 41) return 3;
  data[1] = 19;
  bss[999] = 1;
  if (*pointer != 19 || bss[999] != 1) return 4;
  return 0x77;
}

// The command comes in RDI, as a first argument does.
void Start(u64 command) {
  switch (command) {
    case kCheckImage:
      Report(CheckImage());
      break;
    case kWriteText:
      *(volatile u8*)&Start = 0x90;
      Report(0x78);
      break;
    case kWriteConstant:
      *(volatile u64*)constants_seen = 1;
      Report(0x79);
      break;
    case kRunData:
      ((void (*)(void))(u64)&data_code[0])();
      break;
    default:
      break;
  }
  for (;;) {
  }
}
