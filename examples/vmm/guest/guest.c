// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder run in //examples/vmm: a freestanding 64-bit
// program that does what the key typed last says, so that a test chooses how
// the machine ends. It polls and needs no interrupt, no table and no privileged
// instruction before that key. It expects a PC:
//
//   COM1         keys come in, text goes out
//   port 0x600   ACPI's PM1a status: bit 8 is the power button
//   port 0x604   ACPI's PM1a control: SLP_TYP and SLP_EN
//   port 0xcf9   reset control
//   port 0x505   the panic notifier
//   port 0xf4    the exit port
//
// Keys: q powers off, s sleeps (S3), r resets, p panics, e exits with 7 (code
// 15), t makes a triple fault, h halts for good, w goes on quietly until the
// power button is pressed. Any other key is printed as <k>.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned long u64;

enum {
  kUart = 0x3f8,     // RBR, THR: receiver, transmitter
  kUartLcr = 0x3fb,  // line control
  kUartLsr = 0x3fd,  // line status
  kLcrEightBits = 0x03,
  kLsrDataReady = 0x01,
  kLsrTransmitEmpty = 0x20,

  kPm1Status = 0x600,
  kPowerButton = 1 << 8,
  kPm1Control = 0x604,
  kSleepEnable = 1 << 13,
  kSoftOff = 5 << 10,
  kSuspend = 1 << 10,

  kResetControl = 0xcf9,
  kResetNow = 0x06,  // SYS_RST, RST_CPU
  kPanic = 0x505,
  kPanicked = 1,
  kExitPort = 0xf4,
};

static void Out8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static void Out16(u16 port, u16 value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static u8 In8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static u16 In16(u16 port) {
  u16 value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static void PutChar(char c) {
  if (c == '\n') PutChar('\r');
  while ((In8(kUartLsr) & kLsrTransmitEmpty) == 0) {
  }
  Out8(kUart, (u8)c);
}
static void Print(const char* text) {
  for (; *text != '\0'; ++text) PutChar(*text);
}

static void PowerOff(void) { Out16(kPm1Control, kSoftOff | kSleepEnable); }

static void AwaitPowerButton(void) {
  Print("waiting\n");
  while ((In16(kPm1Status) & kPowerButton) == 0) {
  }
  Print("power button\n");
  PowerOff();
}

static void TripleFault(void) {
  const struct __attribute__((packed)) {
    u16 limit;
    u64 base;
  } empty = {0, 0};
  __asm__ volatile("lidt %0; ud2" : : "m"(empty));
}

static void Obey(char key) {
  switch (key) {
    case 'q':
      PowerOff();
      break;
    case 's':
      Out16(kPm1Control, kSuspend | kSleepEnable);
      break;
    case 'r':
      Out8(kResetControl, kResetNow);
      break;
    case 'p':
      Out8(kPanic, kPanicked);
      break;
    case 'e':
      Out8(kExitPort, 7);
      break;
    case 't':
      TripleFault();
      break;
    case 'h':
      __asm__ volatile("cli; hlt");
      break;
    case 'w':
      AwaitPowerButton();
      break;
    default:
      PutChar('<');
      PutChar(key);
      Print(">\n");
  }
}

// The host gives a stack.
__attribute__((noreturn)) void Start(void) {
  Out8(kUartLcr, kLcrEightBits);
  // No FIFOs: switching them on would lose what was typed before.
  Print("ready\n");
  for (;;) {
    while ((In8(kUartLsr) & kLsrDataReady) == 0) {
    }
    Obey((char)In8(kUart));
  }
}
