// SPDX-License-Identifier: Apache-2.0
// The program that run_guest runs by default: freestanding 64-bit code without
// a C library, an interrupt table or any privileged instruction, so that it
// runs at CPL 0 and at CPL 3 alike. What it expects of its host:
//
//   port 0x3f8      a 16550A UART; the program polls it and takes no interrupt
//   gpa 0xd0000000  an accumulator, mapped at its own address: a 64-bit write
//                   adds to the sum, a 64-bit read returns it
//   port 0xf4       an exit port in the manner of QEMU's isa-debug-exit: a
//                   write of v ends the machine with code (v << 1) | 1
//
// It exits with code 33 when all checks have passed and with 35 when one has
// not.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned long u64;

enum {
  kUart = 0x3f8,     // THR: transmit holding register
  kUartIer = 0x3f9,  // interrupt enable
  kUartFcr = 0x3fa,  // FIFO control
  kUartLcr = 0x3fb,  // line control
  kUartLsr = 0x3fd,  // line status

  kLcrEightBits = 0x03,  // 8 data bits, no parity, one stop bit
  kFcrEnableAndClear = 0x07,
  kLsrTransmitEmpty = 0x20,  // THRE

  kExitPort = 0xf4,
  kPassed = 0x10,  // code 33
  kFailed = 0x11,  // code 35
};

static volatile u64* const kAccumulator = (volatile u64*)0xd0000000;

// The host gives a stack, but of unknown size; the program brings its own.
static u8 stack[16384] __attribute__((aligned(16), used));

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  lea stack+16384(%rip), %rsp\n"
    "  xor %ebp, %ebp\n"
    "  call Main\n");

static void Out8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static u8 In8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static void UartInit(void) {
  Out8(kUartIer, 0);
  Out8(kUartLcr, kLcrEightBits);
  Out8(kUartFcr, kFcrEnableAndClear);
}

static void PutChar(char c) {
  while ((In8(kUartLsr) & kLsrTransmitEmpty) == 0) {
  }
  Out8(kUart, (u8)c);
}

static void Print(const char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == '\n') PutChar('\r');
    PutChar(*text);
  }
}

// Decimal, right-aligned in `width` columns.
static void PrintNumber(u64 value, int width) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  for (int i = count; i < width; ++i) PutChar(' ');
  while (count > 0) PutChar(digits[--count]);
}

static void PrintTable(void) {
  Print("  n    n^2     n^3\n");
  for (u64 n = 1; n <= 5; ++n) {
    PrintNumber(n, 3);
    PrintNumber(n * n, 7);
    PrintNumber(n * n * n, 8);
    Print("\n");
  }
}

// Adds 1^2 to 10^2, and a number that needs all 64 bits, and compares the
// device's sum with the program's own.
static int CheckAccumulator(void) {
  const u64 before = *kAccumulator;
  u64 expected = before;
  for (u64 n = 1; n <= 10; ++n) {
    *kAccumulator = n * n;
    expected += n * n;
  }
  *kAccumulator = 0x123456789abcdef0;
  expected += 0x123456789abcdef0;
  const u64 sum = *kAccumulator;
  Print("accumulator: ");
  PrintNumber(sum - before, 0);
  Print(sum == expected ? ", as expected\n" : ", WRONG\n");
  return sum == expected;
}

__attribute__((noreturn, used)) void Main(void) {
  UartInit();
  Print("Hello from a guest of libvmm.\n");
  PrintTable();
  const int passed = CheckAccumulator();
  Print(passed ? "All checks passed.\n" : "A check has failed.\n");
  Out8(kExitPort, passed ? kPassed : kFailed);
  for (;;) {
  }
}
