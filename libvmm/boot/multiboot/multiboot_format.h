// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_FORMAT_H_
#define LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_FORMAT_H_

// The structures of the Multiboot specification, version 0.6.96, chapter 3. All
// addresses are physical, all numbers little-endian.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::multiboot {

// The header lies wholly in this many bytes of the file, aligned to 4 (3.1).
inline constexpr uint64_t kSearchSize = 8192;
inline constexpr uint64_t kHeaderAlignment = 4;
inline constexpr uint32_t kHeaderMagic = 0x1badb002;
// What EAX tells the kernel (3.2).
inline constexpr uint32_t kBootMagic = 0x2badb002;

// 3.1.1 "The layout of Multiboot header", up to the graphics fields.
struct Header {
  uint32_t magic;
  uint32_t flags;
  uint32_t checksum;  // The sum of the three is zero.
  // With HeaderAddressFields:
  uint32_t header_addr;
  uint32_t load_addr;
  uint32_t load_end_addr;
  uint32_t bss_end_addr;
  uint32_t entry_addr;
};
static_assert(sizeof(Header) == 32);
// What every header has.
inline constexpr uint64_t kShortHeaderSize = 12;

// Header.flags. A loader that does not know one of bits 15 to 0 gives up.
using HeaderPageAlign = Field<uint32_t, 0, 0>;   // modules on page borders
using HeaderMemoryInfo = Field<uint32_t, 1, 1>;  // mem_ fields, mmap_ fields
using HeaderVideoMode = Field<uint32_t, 2, 2>;   // graphics fields
using HeaderRequired = Field<uint32_t, 15, 0>;
using HeaderAddressFields = Field<uint32_t, 16, 16>;

// 3.3 "Boot information format".
struct Info {
  uint32_t flags = 0;
  uint32_t mem_lower = 0;  // KiB from address zero, at most 640
  uint32_t mem_upper = 0;  // KiB from 1 MiB up to the first hole
  uint32_t boot_device = 0;
  uint32_t cmdline = 0;
  uint32_t mods_count = 0;
  uint32_t mods_addr = 0;
  uint32_t syms[4] = {};
  uint32_t mmap_length = 0;  // bytes
  uint32_t mmap_addr = 0;
  uint32_t drives_length = 0;
  uint32_t drives_addr = 0;
  uint32_t config_table = 0;
  uint32_t boot_loader_name = 0;
  uint32_t apm_table = 0;
  uint32_t vbe_control_info = 0;
  uint32_t vbe_mode_info = 0;
  uint16_t vbe_mode = 0;
  uint16_t vbe_interface_seg = 0;
  uint16_t vbe_interface_off = 0;
  uint16_t vbe_interface_len = 0;
  uint32_t framebuffer[7] = {};
};
static_assert(sizeof(Info) == 116);

// Info.flags: which fields are valid.
using InfoMemory = Field<uint32_t, 0, 0>;
using InfoCommandLine = Field<uint32_t, 2, 2>;
using InfoModules = Field<uint32_t, 3, 3>;
using InfoMemoryMap = Field<uint32_t, 6, 6>;
using InfoBootLoaderName = Field<uint32_t, 9, 9>;

struct ModuleEntry {
  uint32_t mod_start = 0;
  uint32_t mod_end = 0;  // one past the last byte
  uint32_t string = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(ModuleEntry) == 16);

struct MemoryMapEntry {
  uint32_t size = sizeof(MemoryMapEntry) - sizeof(uint32_t);  // of the rest
  uint32_t base_low = 0;
  uint32_t base_high = 0;
  uint32_t length_low = 0;
  uint32_t length_high = 0;
  uint32_t type = 0;  // E820Type; 1 is available RAM
};
static_assert(sizeof(MemoryMapEntry) == 24);

}  // namespace libvmm::multiboot

#endif  // LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_FORMAT_H_
