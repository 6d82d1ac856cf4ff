// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_PVH_START_INFO_H_
#define LIBVMM_BOOT_LINUX_PVH_START_INFO_H_

// What a kernel entered by PVH finds in memory: Xen's
// public/arch-x86/hvm/start_info.h, version 1. All addresses are physical, all
// numbers little-endian.

#include <cstdint>

namespace libvmm::pvh {

// The ELF note with the entry point (public/elfnote.h).
inline constexpr char kNoteOwner[] = "Xen";
inline constexpr uint32_t kNotePhys32Entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY

inline constexpr uint32_t kMagic = 0x336ec578;  // XEN_HVM_START_MAGIC_VALUE
inline constexpr uint32_t kVersion = 1;

// struct hvm_start_info
struct StartInfo {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t flags = 0;
  uint32_t nr_modules = 0;
  uint64_t modlist_paddr = 0;
  uint64_t cmdline_paddr = 0;
  uint64_t rsdp_paddr = 0;
  uint64_t memmap_paddr = 0;  // from version 1 on
  uint32_t memmap_entries = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(StartInfo) == 56);

// struct hvm_modlist_entry
struct Module {
  uint64_t paddr = 0;
  uint64_t size = 0;
  uint64_t cmdline_paddr = 0;
  uint64_t reserved = 0;
};
static_assert(sizeof(Module) == 32);

// struct hvm_memmap_table_entry
struct MemoryMapEntry {
  uint64_t addr = 0;
  uint64_t size = 0;
  uint32_t type = 0;  // E820Type
  uint32_t reserved = 0;
};
static_assert(sizeof(MemoryMapEntry) == 24);

}  // namespace libvmm::pvh

#endif  // LIBVMM_BOOT_LINUX_PVH_START_INFO_H_
