// SPDX-License-Identifier: Apache-2.0
// What the machines of this folder run: a freestanding 64-bit program that
// sleeps whenever it has nothing to do, so that it only gets on when its host
// serves clock and input. It expects a PC:
//
//   COM1, IRQ 4      banner and answers go out; a line of input comes in
//   the RTC, IRQ 8   counts a few periodic interrupts; they come from the
//                    host's process, on its event loop
//   two 8259A PICs   deliver both
//   port 0x604       ACPI's PM1a control register: switches the machine off
//
// It is entered in long mode at CPL 0 with a flat code segment and all memory
// mapped. What it prints depends on its input alone.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
  kUart = 0x3f8,     // RBR, THR: receiver, transmitter
  kUartIer = 0x3f9,  // interrupt enable
  kUartFcr = 0x3fa,  // FIFO control
  kUartLcr = 0x3fb,  // line control
  kUartMcr = 0x3fc,  // modem control
  kUartLsr = 0x3fd,  // line status
  kIerReceived = 0x01,
  kFcrEnableAndClear = 0x07,
  kLcrEightBits = 0x03,
  kMcrReady = 0x0b,  // DTR, RTS, OUT2
  kLsrDataReady = 0x01,
  kLsrTransmitEmpty = 0x20,

  kRtcIndex = 0x70,
  kRtcData = 0x71,
  kRtcA = 0x0a,
  kRtcB = 0x0b,
  kRtcC = 0x0c,
  kRtcA256Hz = 0x28,     // 32.768 kHz crystal, rate 8
  kRtcBPeriodic = 0x42,  // PIE, 24 hours

  kPic1 = 0x20,
  kPic2 = 0xa0,
  kPicIcw1 = 0x11,            // edges, cascade, ICW4 follows
  kPicIcw4 = 0x01,            // 8086 mode
  kPicEndOfInterrupt = 0x20,  // OCW2, not specific
  kPicCascade = 2,
  kFirstVector = 0x20,
  kSerialIrq = 4,
  kRtcIrq = 8,

  kPm1Control = 0x604,
  kSoftOff = 5 << 10 | 1 << 13,  // SLP_TYP 5, SLP_EN

  kTicks = 8,
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

static void PutChar(char c) {
  if (c == '\n') PutChar('\r');
  while ((In8(kUartLsr) & kLsrTransmitEmpty) == 0) {
  }
  Out8(kUart, (u8)c);
}
static void Print(const char* text) {
  for (; *text != '\0'; ++text) PutChar(*text);
}
static void PrintNumber(u32 value) {
  if (value >= 10) PrintNumber(value / 10);
  PutChar((char)('0' + value % 10));
}

// Interrupts.

struct Frame;

static volatile u32 ticks;
// Input between its interrupt and the main program: how many bytes came and how
// many were taken.
static volatile u8 received[64];
static volatile u32 received_count;
static volatile u32 taken_count;

static u8 ReadRtc(u8 index) {
  Out8(kRtcIndex, index);
  return In8(kRtcData);
}
static void WriteRtc(u8 index, u8 value) {
  Out8(kRtcIndex, index);
  Out8(kRtcData, value);
}

__attribute__((interrupt)) static void OnClock(struct Frame* frame) {
  (void)frame;
  // Reading register C says that it was seen; without it there is no next one.
  (void)ReadRtc(kRtcC);
  ++ticks;
  Out8(kPic2, kPicEndOfInterrupt);
  Out8(kPic1, kPicEndOfInterrupt);
}

__attribute__((interrupt)) static void OnSerial(struct Frame* frame) {
  (void)frame;
  while ((In8(kUartLsr) & kLsrDataReady) != 0) {
    if (received_count - taken_count == sizeof received) {
      // The rest stays where it is until there is room.
      Out8(kUartIer, 0);
      break;
    }
    received[received_count % sizeof received] = In8(kUart);
    ++received_count;
  }
  Out8(kPic1, kPicEndOfInterrupt);
}

// Sleeps until `counter` is more than `seen`. The clock ticks on all the time,
// so an interrupt that comes just before the HLT only delays it by a tick.
static void SleepUntilMore(const volatile u32* counter, u32 seen) {
  __asm__ volatile("cli" : : : "memory");
  while (*counter <= seen) {
    __asm__ volatile("sti; hlt; cli" : : : "memory");
  }
  __asm__ volatile("sti" : : : "memory");
}

// An interrupt gate of long mode.
struct Gate {
  u16 offset_low;
  u16 selector;
  u8 stack;
  u8 type;
  u16 offset_middle;
  u32 offset_high;
  u32 reserved;
};
static struct Gate idt[kFirstVector + 16];

static void SetGate(u8 vector, void (*handler)(struct Frame*)) {
  const u64 offset = (u64)handler;
  u16 code_segment;
  __asm__("mov %%cs, %0" : "=r"(code_segment));
  idt[vector] = (struct Gate){.offset_low = (u16)offset,
                              .selector = code_segment,
                              .type = 0x8e,
                              .offset_middle = (u16)(offset >> 16),
                              .offset_high = (u32)(offset >> 32)};
}

static void StartInterrupts(void) {
  SetGate(kFirstVector + kSerialIrq, OnSerial);
  SetGate(kFirstVector + kRtcIrq, OnClock);
  const struct __attribute__((packed)) {
    u16 limit;
    u64 base;
  } idtr = {sizeof idt - 1, (u64)&idt};
  __asm__ volatile("lidt %0" : : "m"(idtr));

  Out8(kPic1, kPicIcw1);
  Out8(kPic1 + 1, kFirstVector);
  Out8(kPic1 + 1, 1 << kPicCascade);
  Out8(kPic1 + 1, kPicIcw4);
  Out8(kPic2, kPicIcw1);
  Out8(kPic2 + 1, kFirstVector + 8);
  Out8(kPic2 + 1, kPicCascade);
  Out8(kPic2 + 1, kPicIcw4);
  // All but these stay masked.
  Out8(kPic1 + 1, (u8) ~(1 << kSerialIrq | 1 << kPicCascade));
  Out8(kPic2 + 1, (u8) ~(1 << (kRtcIrq - 8)));
}

// The program.

static void CountTicks(void) {
  WriteRtc(kRtcA, kRtcA256Hz);
  WriteRtc(kRtcB, kRtcBPeriodic);
  (void)ReadRtc(kRtcC);
  SleepUntilMore(&ticks, kTicks - 1);
  Print("The clock ticked ");
  PrintNumber(kTicks);
  Print(" times.\n");
}

static char GetChar(void) {
  SleepUntilMore(&received_count, taken_count);
  const char c = (char)received[taken_count % sizeof received];
  ++taken_count;
  Out8(kUartIer, kIerReceived);
  return c;
}

// Echoes a line in upper case; returns its length.
static u32 EchoLine(void) {
  Print("Say something: ");
  for (u32 count = 0;; ++count) {
    const char c = GetChar();
    if (c == '\r' || c == '\n') return count;
    PutChar(c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
  }
}

// The host gives a stack.
__attribute__((noreturn)) void Start(void) {
  Out8(kUartIer, 0);
  Out8(kUartLcr, kLcrEightBits);
  Out8(kUartFcr, kFcrEnableAndClear);
  Out8(kUartMcr, kMcrReady);
  Out8(kUartIer, kIerReceived);
  Print("A guest of libvmm, on its host's event loop.\n");
  StartInterrupts();
  CountTicks();
  const u32 length = EchoLine();
  Print("\nThat was ");
  PrintNumber(length);
  Print(" characters. Good night.\n");
  Out16(kPm1Control, kSoftOff);
  for (;;) __asm__ volatile("cli; hlt");
}
