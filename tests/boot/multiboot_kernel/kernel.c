// SPDX-License-Identifier: Apache-2.0
// A kernel of the Multiboot specification, version 0.6.96, of our own: prints
// on COM1 what its loader told it, and powers off through ACPI's PM1a control
// register at port 0x604. 32-bit protected mode, no paging, no interrupts.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum {
  kUart = 0x3f8,     // THR
  kUartLsr = 0x3fd,  // line status
  kLsrTransmitEmpty = 0x20,
  kPm1Control = 0x604,
  kSoftOff = 5 << 10 | 1 << 13,  // SLP_TYP 5, SLP_EN
};

// Section 3.3, as far as it is printed.
struct Info {
  u32 flags;
  u32 mem_lower;
  u32 mem_upper;
  u32 boot_device;
  u32 cmdline;
  u32 mods_count;
  u32 mods_addr;
  u32 syms[4];
  u32 mmap_length;
  u32 mmap_addr;
  u32 drives[2];
  u32 config_table;
  u32 boot_loader_name;
};
enum {
  kHasMemory = 1 << 0,
  kHasCommandLine = 1 << 2,
  kHasModules = 1 << 3,
  kHasMemoryMap = 1 << 6,
  kHasLoaderName = 1 << 9,
};
struct Module {
  u32 start;
  u32 end;
  u32 string;
  u32 reserved;
};
struct MemoryMapEntry {
  u32 size;  // of what follows
  u32 base_low;
  u32 base_high;
  u32 length_low;
  u32 length_high;
  u32 type;
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
  while ((In8(kUartLsr) & kLsrTransmitEmpty) == 0) {
  }
  Out8(kUart, (u8)c);
}
static void Print(const char* text) {
  for (; *text != '\0'; ++text) PutChar(*text);
}
static void PrintHex(u32 value) {
  for (int shift = 28; shift >= 0; shift -= 4) {
    PutChar("0123456789abcdef"[value >> shift & 15]);
  }
}
static void PrintDecimal(u32 value) {
  if (value >= 10) PrintDecimal(value / 10);
  PutChar((char)('0' + value % 10));
}
// A line `name: text`, the text quoted.
static void PrintString(const char* name, u32 text) {
  Print(name);
  Print(": \"");
  Print((const char*)text);
  Print("\"\n");
}

// FNV-1a, 32 bits.
static u32 Checksum(u32 start, u32 end) {
  u32 hash = 0x811c9dc5;
  for (const u8* at = (const u8*)start; at != (const u8*)end; ++at) {
    hash = (hash ^ *at) * 0x01000193;
  }
  return hash;
}

static void PrintMemoryMap(const struct Info* info) {
  const u32 end = info->mmap_addr + info->mmap_length;
  for (u32 at = info->mmap_addr; at < end;) {
    const struct MemoryMapEntry* entry = (const struct MemoryMapEntry*)at;
    Print("map: ");
    PrintHex(entry->base_high);
    PrintHex(entry->base_low);
    Print(" + ");
    PrintHex(entry->length_high);
    PrintHex(entry->length_low);
    Print(" type ");
    PrintDecimal(entry->type);
    Print("\n");
    at += sizeof entry->size + entry->size;
  }
}

static void PrintModules(const struct Info* info) {
  const struct Module* module = (const struct Module*)info->mods_addr;
  for (u32 i = 0; i < info->mods_count; ++i, ++module) {
    Print("module: ");
    PrintDecimal(module->end - module->start);
    Print(" bytes, checksum ");
    PrintHex(Checksum(module->start, module->end));
    Print((module->start & 4095) == 0 ? ", on a page" : ", NOT ON A PAGE");
    PrintString(", string", module->string);
  }
}

void Main(u32 magic, const struct Info* info) {
  Print("magic: ");
  PrintHex(magic);
  Print("\nflags: ");
  PrintHex(info->flags);
  Print("\n");
  if (info->flags & kHasLoaderName) {
    PrintString("loader", info->boot_loader_name);
  }
  if (info->flags & kHasCommandLine) PrintString("command line", info->cmdline);
  if (info->flags & kHasMemory) {
    Print("memory: ");
    PrintDecimal(info->mem_lower);
    Print(" KiB and ");
    PrintDecimal(info->mem_upper);
    Print(" KiB\n");
  }
  if (info->flags & kHasMemoryMap) PrintMemoryMap(info);
  if (info->flags & kHasModules) PrintModules(info);
  Out16(kPm1Control, kSoftOff);
}
