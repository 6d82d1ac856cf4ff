// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/pvh_kernel.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/linux/pvh_start_info.h"
#include "libvmm/boot/load_plan.h"
#include "libvmm/boot/protected_mode.h"
#include "libvmm/boot/ram_placer.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kLast32 = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kTablesAlignment = 8;
// A vmlinux does not say how much it takes. What is beyond Linux's own limit of
// 2047 it cuts off.
constexpr uint64_t kMaxCommandLineSize = 0xffff;

// Where everything but the kernel and the initrd goes: the start info and
// behind it what it points to, in one piece.
struct InfoLayout {
  uint64_t modules;
  uint64_t memory_map;
  uint64_t size;

  explicit InfoLayout(const LinuxBootOptions& options)
      : modules(sizeof(pvh::StartInfo)),
        memory_map(modules +
                   (options.initrd.empty() ? 0 : sizeof(pvh::Module))),
        size(memory_map + options.memory_map.entries().size() *
                              sizeof(pvh::MemoryMapEntry)) {}
};

absl::StatusOr<Gpa> ParseEntry(std::span<const std::byte> descriptor) {
  uint64_t entry = 0;
  if (descriptor.size() != sizeof(uint32_t) &&
      descriptor.size() != sizeof(uint64_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat("XEN_ELFNOTE_PHYS32_ENTRY has a descriptor of ",
                     descriptor.size(), " bytes, expected 4 or 8"));
  }
  std::memcpy(&entry, descriptor.data(), descriptor.size());
  if (entry > kLast32) {
    return absl::InvalidArgumentError(
        absl::StrCat("XEN_ELFNOTE_PHYS32_ENTRY is 0x", absl::Hex(entry),
                     ", expected an address below 4 GiB"));
  }
  return Gpa(entry);
}

bool InSegment(const ElfImage& image, Gpa gpa) {
  const auto segments = image.segments();
  return std::any_of(segments.begin(), segments.end(),
                     [gpa](const ElfSegment& segment) {
                       return segment.range().Contains(gpa);
                     });
}

absl::StatusOr<ElfImage> ParseElf(std::span<const std::byte> file) {
  const bool is_32_bit = file.size() > EI_CLASS &&
                         static_cast<uint8_t>(file[EI_CLASS]) == ELFCLASS32;
  return is_32_bit ? ElfImage::Parse32(file) : ElfImage::Parse(file);
}

struct Placement {
  PvhStart start;
  GpaRange info;
};

absl::StatusOr<Placement> Place(const PvhKernel& kernel,
                                const LinuxBootOptions& options) {
  RamPlacer placer(options.memory_map);
  for (const ElfSegment& segment : kernel.image().segments()) {
    LIBVMM_RETURN_IF_ERROR(placer.Take(segment.range(), "kernel segment"));
  }
  Placement placement;
  PvhStart& start = placement.start;
  start.entry = kernel.entry();
  start.kernel = kernel.image().range();
  if (!options.initrd.empty()) {
    const uint64_t size = options.initrd.size();
    // The kernel gives the initrd's pages back whole.
    LIBVMM_ASSIGN_OR_RETURN(
        const Gpa initrd,
        placer.TakeHighest({.what = "initrd",
                            .size = RamPlacer::WholePages(size),
                            .alignment = kPageSize,
                            .last = Gpa(kLast32)}));
    start.initrd = {initrd, size};
  }
  const auto place_low = [&placer](absl::string_view what, uint64_t size) {
    return placer.TakeLowest({.what = what,
                              .size = size,
                              .alignment = kTablesAlignment,
                              .last = Gpa(kLast32)});
  };
  LIBVMM_ASSIGN_OR_RETURN(start.tables,
                          place_low("tables", kProtectedModeTablesSize));
  const uint64_t info_size = InfoLayout(options).size;
  LIBVMM_ASSIGN_OR_RETURN(start.start_info, place_low("start info", info_size));
  placement.info = {start.start_info, info_size};
  const uint64_t command_line = options.command_line.text().size();
  if (command_line != 0) {
    LIBVMM_ASSIGN_OR_RETURN(const Gpa at,
                            place_low("command line", command_line + 1));
    start.command_line = {at, command_line + 1};
  }
  return placement;
}

std::vector<std::byte> BuildInfo(const LinuxBootOptions& options,
                                 const PvhStart& start) {
  const InfoLayout layout(options);
  std::vector<std::byte> bytes(layout.size);
  pvh::StartInfo info{
      .cmdline_paddr = start.command_line.start.value(),
      .rsdp_paddr = options.rsdp.value_or(Gpa(0)).value(),
      .memmap_paddr = (start.start_info + layout.memory_map).value()};
  if (!options.initrd.empty()) {
    const pvh::Module module{.paddr = start.initrd.start.value(),
                             .size = start.initrd.size};
    std::memcpy(bytes.data() + layout.modules, &module, sizeof module);
    info.nr_modules = 1;
    info.modlist_paddr = (start.start_info + layout.modules).value();
  }
  for (const E820Entry& entry : options.memory_map.entries()) {
    const pvh::MemoryMapEntry encoded{
        .addr = entry.range.start.value(),
        .size = entry.range.size,
        .type = static_cast<uint32_t>(entry.type)};
    std::memcpy(
        bytes.data() + layout.memory_map + info.memmap_entries * sizeof encoded,
        &encoded, sizeof encoded);
    ++info.memmap_entries;
  }
  std::memcpy(bytes.data(), &info, sizeof info);
  return bytes;
}

}  // namespace

absl::StatusOr<PvhKernel> PvhKernel::Parse(std::span<const std::byte> file) {
  LIBVMM_ASSIGN_OR_RETURN(ElfImage image, ParseElf(file));
  const auto note = image.FindNote(pvh::kNoteOwner, pvh::kNotePhys32Entry);
  if (!note) {
    return absl::UnimplementedError(
        "ELF program has no note XEN_ELFNOTE_PHYS32_ENTRY (\"Xen\", 18), and "
        "so no PVH entry point");
  }
  LIBVMM_ASSIGN_OR_RETURN(const Gpa entry, ParseEntry(*note));
  if (!InSegment(image, entry)) {
    return absl::InvalidArgumentError(
        absl::StrCat("XEN_ELFNOTE_PHYS32_ENTRY is 0x", absl::Hex(entry.value()),
                     ", inside no PT_LOAD segment"));
  }
  return PvhKernel(std::move(image), entry);
}

absl::StatusOr<PvhStart> PvhKernel::Load(const LinuxBootOptions& options,
                                         GuestMemory& memory) const {
  LIBVMM_RETURN_IF_ERROR(options.Validate(kMaxCommandLineSize));
  if (!options.random_seed.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("random seed of ", options.random_seed.size(),
                     " bytes: PVH has no place for one"));
  }
  if (image_.has_relocations()) {
    return absl::UnimplementedError(
        "ELF dynamic section lists relocations; supported are images without");
  }
  LIBVMM_ASSIGN_OR_RETURN(const Placement placement, Place(*this, options));
  const PvhStart& start = placement.start;
  const std::vector<std::byte> info = BuildInfo(options, start);
  const absl::string_view command_line = options.command_line.text();

  internal::LoadPlan plan;
  for (const ElfSegment& segment : image_.segments()) {
    plan.Add({.what = "kernel segment",
              .range = segment.range(),
              .bytes = segment.file_bytes,
              .clear_rest = true});
  }
  plan.Add({.what = "initrd", .range = start.initrd, .bytes = options.initrd});
  plan.Add(
      {.what = "tables", .range = {start.tables, kProtectedModeTablesSize}});
  plan.Add({.what = "start info", .range = placement.info, .bytes = info});
  plan.Add({.what = "command line",
            .range = start.command_line,
            .bytes = std::as_bytes(
                std::span(command_line.data(), command_line.size())),
            .clear_rest = true});
  LIBVMM_RETURN_IF_ERROR(plan.Commit(memory));
  return start;
}

absl::Status EnterPvh(Vcpu& vcpu, GuestMemory& memory, const PvhStart& start) {
  LIBVMM_RETURN_IF_ERROR(EnterProtectedMode(
      vcpu, memory, {.entry = start.entry, .tables = start.tables}));
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  sregs->cr0 = Cr0ExtensionType::kMask | Cr0ProtectionEnable::kMask;
  regs->rbx = start.start_info.value();
  return absl::OkStatus();
}

}  // namespace libvmm
