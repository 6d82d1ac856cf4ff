// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/long_mode.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/boot/start_registers.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint64_t kPageSize = PageTables::kTableSize;

// What stands at the start of LongModeStart::tables: descriptor table,
// task-state segment and, for user code, its I/O permission bitmap.
constexpr uint64_t kGdtOffset = 0;
constexpr uint64_t kTssOffset = 0x80;

// 64-bit task-state segment (Intel SDM volume 3, figure 8-11). All its stacks
// are null. An I/O map base at the limit means that there is no bitmap.
constexpr uint64_t kTssIoMapBaseOffset = 102;

// One bit per port, zero where access is allowed, and a byte of ones behind
// (SDM volume 1, chapter 19.5.2). IOPL 3 alone would do on hardware; a KVM that
// runs CPL 3 code in a host process's own mode cannot keep IOPL and consults
// the bitmap.
constexpr uint64_t kIoBitmapSize = 0x10000 / 8;

struct SystemArea {
  uint64_t tss_size;
  uint64_t pages_size;
};

constexpr SystemArea AreaFor(Privilege privilege) {
  const uint64_t tss_size =
      privilege == Privilege::kUser ? kTssSize + kIoBitmapSize + 1 : kTssSize;
  return {tss_size,
          (kTssOffset + tss_size + kPageSize - 1) / kPageSize * kPageSize};
}

Gdt BuildGdt(const LongModeStart& start) {
  return Gdt::LongMode(
      start.tables.start + kTssOffset,
      static_cast<uint32_t>(AreaFor(start.privilege).tss_size));
}

std::vector<std::byte> BuildSystemArea(const LongModeStart& start) {
  const SystemArea area = AreaFor(start.privilege);
  std::vector<std::byte> bytes(area.pages_size);
  const Gdt gdt = BuildGdt(start);
  std::memcpy(bytes.data() + kGdtOffset, gdt.bytes().data(),
              gdt.bytes().size());
  const uint16_t io_map_base = kTssSize;
  std::memcpy(bytes.data() + kTssOffset + kTssIoMapBaseOffset, &io_map_base,
              sizeof io_map_base);
  if (area.tss_size > kTssSize) {
    bytes[kTssOffset + area.tss_size - 1] = std::byte{0xff};
  }
  return bytes;
}

// Adds `mapping`, without user access to what lies in `tables`.
absl::Status MapAround(PageTables& pages, const PageMapping& mapping,
                       const GpaRange& tables) {
  const std::optional<GpaRange> range =
      GpaRange::Create(mapping.gpa, mapping.size);
  // Unaligned and wrapping mappings are refused by Map.
  if (!mapping.access.user || !range || !range->Overlaps(tables)) {
    return pages.Map(mapping);
  }
  const auto part = [&](uint64_t from, uint64_t to, bool user) {
    PageMapping piece{.gva = mapping.gva + from,
                      .gpa = mapping.gpa + from,
                      .size = to - from,
                      .access = mapping.access};
    piece.access.user = user;
    return pages.Map(piece);
  };
  const uint64_t hole_start =
      tables.start <= mapping.gpa ? 0 : tables.start - mapping.gpa;
  const uint64_t hole_end =
      std::min(mapping.size, tables.start + tables.size - mapping.gpa);
  LIBVMM_RETURN_IF_ERROR(part(0, hole_start, true));
  LIBVMM_RETURN_IF_ERROR(part(hole_start, hole_end, false));
  return part(hole_end, mapping.size, true);
}

absl::Status CheckStart(const PageTables& pages, const LongModeStart& start) {
  const bool user = start.privilege == Privilege::kUser;
  const char* const level = user ? "CPL 3" : "CPL 0";
  const auto entry = pages.Translate(start.entry);
  if (!entry || !entry->access.executable || (user && !entry->access.user)) {
    return absl::InvalidArgumentError(
        absl::StrCat("long mode entry, gva 0x", absl::Hex(start.entry.value()),
                     ", is not mapped executable at ", level));
  }
  const auto stack = pages.Translate(start.stack_top - 8);
  if (!stack || !stack->access.writable || (user && !stack->access.user)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "long mode stack below gva 0x", absl::Hex(start.stack_top.value()),
        " is not mapped writable at ", level));
  }
  return absl::OkStatus();
}

absl::StatusOr<PageTables> BuildPageTables(const LongModeStart& start) {
  const uint64_t area = AreaFor(start.privilege).pages_size;
  LIBVMM_ASSIGN_OR_RETURN(
      PageTables pages, PageTables::Create({.space = {start.tables.start + area,
                                                      start.tables.size - area},
                                            .largest = start.largest_page}));
  for (const PageMapping& mapping : start.mappings) {
    LIBVMM_RETURN_IF_ERROR(MapAround(pages, mapping, start.tables));
  }
  // The CPU reads descriptors and the bitmap through linear addresses.
  for (uint64_t offset = 0; offset < area; offset += kPageSize) {
    const Gpa page = start.tables.start + offset;
    const auto seen = pages.Translate(Gva(page.value()));
    if (seen && seen->gpa == page) continue;
    LIBVMM_RETURN_IF_ERROR(
        pages.Map(IdentityMapping({page, kPageSize}, {.writable = true})));
  }
  LIBVMM_RETURN_IF_ERROR(CheckStart(pages, start));
  return pages;
}

}  // namespace

void SetLongMode(const LongModeStart& start, kvm_sregs& sregs, kvm_regs& regs) {
  internal::ClearForStart(sregs, regs);
  const Gpa tables = start.tables.start;
  const Gdt gdt = BuildGdt(start);
  const bool user = start.privilege == Privilege::kUser;

  sregs.cr0 = Cr0Paging::kMask | Cr0AlignmentMask::kMask |
              Cr0WriteProtect::kMask | Cr0NumericError::kMask |
              Cr0ExtensionType::kMask | Cr0MonitorCoprocessor::kMask |
              Cr0ProtectionEnable::kMask;
  sregs.cr3 = (tables + AreaFor(start.privilege).pages_size).value();
  sregs.cr4 = Cr4OsXmmExceptions::kMask | Cr4OsFxsr::kMask |
              Cr4PhysicalAddressExtension::kMask;
  sregs.efer = EferNoExecuteEnable::kMask | EferLongModeActive::kMask |
               EferLongModeEnable::kMask;
  sregs.cs = *gdt.Segment(user ? Gdt::kUserCode64 : Gdt::kKernelCode64);
  sregs.ds = *gdt.Segment(user ? Gdt::kUserData : Gdt::kKernelData);
  sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
  sregs.tr = *gdt.Segment(Gdt::kTss);
  sregs.gdt = gdt.Register(Gva((tables + kGdtOffset).value()));
  regs.rip = start.entry.value();
  regs.rsp = start.stack_top.value();
  if (user) regs.rflags |= RflagsIoPrivilege::Of(3);
}

absl::Status EnterLongMode(Vcpu& vcpu, GuestMemory& memory,
                           const LongModeStart& start) {
  const GpaRange& tables = start.tables;
  const uint64_t area = AreaFor(start.privilege).pages_size;
  if (!tables.start.IsAligned(kPageSize) || tables.size % kPageSize != 0 ||
      tables.size < area + kPageSize ||
      !GpaRange::Create(tables.start, tables.size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "long mode tables at gpa 0x", absl::Hex(tables.start.value()),
        ", size 0x", absl::Hex(tables.size), ", are not ", area / kPageSize + 1,
        " or more pages of 4 KiB"));
  }
  LIBVMM_ASSIGN_OR_RETURN(const PageTables pages, BuildPageTables(start));
  const GpaRange written{tables.start, area + pages.used().size};
  if (!memory.IsWritable(written)) {
    return absl::OutOfRangeError(
        absl::StrCat("long mode tables, ", written.size, " bytes at gpa 0x",
                     absl::Hex(written.start.value()),
                     ", are not wholly in writable guest memory"));
  }
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  LIBVMM_RETURN_IF_ERROR(pages.Write(memory));
  if (!memory.Write(tables.start, BuildSystemArea(start))) {
    return absl::AbortedError(absl::StrCat(
        "long mode tables at gpa 0x", absl::Hex(tables.start.value()),
        ": guest memory was removed meanwhile"));
  }
  SetLongMode(start, *sregs, *regs);
  return absl::OkStatus();
}

}  // namespace libvmm
