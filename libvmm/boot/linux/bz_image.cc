// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/bz_image.h"

#include <asm/bootparam.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/load_plan.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/boot/ram_placer.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kSectorSize = 512;
constexpr uint64_t kParagraphSize = 16;  // syssize counts these
constexpr Gpa kOneMiB(uint64_t{1} << 20);
constexpr uint64_t kFourGiB = uint64_t{1} << 32;

// Where the setup header stands in the file and, at the same offset, in the
// boot parameters (boot.rst, "The Real-Mode Kernel Header").
constexpr uint64_t kHeaderOffset = offsetof(boot_params, hdr);
// The jump instruction's second byte, 0x201, is the distance from 0x202 to the
// header's end.
constexpr uint64_t kJumpOffset =
    kHeaderOffset + offsetof(setup_header, jump) + 1;
constexpr uint64_t kJumpFrom = kJumpOffset + 1;
// The header may grow up to what follows it in the boot parameters.
constexpr uint64_t kMaxHeaderSize =
    offsetof(boot_params, edd_mbr_sig_buffer) - kHeaderOffset;
// Up to the last field of protocol 2.12, handover_offset.
constexpr uint64_t kMinHeaderSize = offsetof(setup_header, kernel_info_offset);

constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kMinProtocol = 0x020c;
constexpr uint8_t kDefaultSetupSectors = 4;  // what zero means
constexpr uint8_t kUnregisteredLoader = 0xff;
constexpr uint16_t kVideoModeNormal = 0xffff;
constexpr uint64_t kEntry64Offset = 0x200;  // of the protected-mode kernel
// In uapi from Linux 6.0 on.
constexpr uint32_t kSetupRngSeed = 9;

// GDT and task state, page tables (root, one for 512 GiB, four of 1 GiB each),
// and a page of stack, which the protocol does not ask for but EnterLongMode.
constexpr uint64_t kEnterPages = 7;
constexpr uint64_t kTablesSize = (kEnterPages + 1) * kPageSize;

static_assert(sizeof(boot_params) == kPageSize);
static_assert(sizeof(setup_header) <= kMaxHeaderSize);

std::string Describe(absl::string_view field, uint64_t value) {
  return absl::StrCat("bzImage ", field, " is 0x", absl::Hex(value));
}

absl::Status Malformed(absl::string_view field, uint64_t value,
                       absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat(Describe(field, value), ", expected ", expected));
}

absl::Status Unsupported(absl::string_view field, uint64_t value,
                         absl::string_view supported) {
  return absl::UnimplementedError(
      absl::StrCat(Describe(field, value), "; supported is ", supported));
}

// The part of the header that every protocol from 2.12 on has.
absl::StatusOr<setup_header> CopyHeader(std::span<const std::byte> file) {
  if (!RangeFits(file.size(), kHeaderOffset, kMinHeaderSize)) {
    return Malformed("file size", file.size(),
                     absl::StrCat("at least ", kHeaderOffset + kMinHeaderSize));
  }
  setup_header header{};
  std::memcpy(&header, file.data() + kHeaderOffset, kMinHeaderSize);
  return header;
}

absl::Status CheckHeader(const setup_header& header) {
  if (header.boot_flag != kBootFlag) {
    return Malformed("boot_flag", header.boot_flag, "0xaa55");
  }
  if (header.header != kHeaderMagic) {
    return Malformed("header", header.header, "0x53726448 (HdrS)");
  }
  if (header.version < kMinProtocol) {
    return Unsupported("version", header.version, "0x20c (2.12) and later");
  }
  if ((header.loadflags & LOADED_HIGH) == 0) {
    return Unsupported("loadflags", header.loadflags, "LOADED_HIGH (bit 0)");
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    return Unsupported("xloadflags", header.xloadflags,
                       "XLF_KERNEL_64 (bit 0)");
  }
  if (header.relocatable_kernel != 0 &&
      !std::has_single_bit(uint32_t{header.kernel_alignment})) {
    return Malformed("kernel_alignment", header.kernel_alignment,
                     "a power of two");
  }
  if (!GpaRange::Create(Gpa(header.pref_address), header.init_size)) {
    return Malformed("pref_address", header.pref_address,
                     "init_size bytes below the end of the address space");
  }
  return absl::OkStatus();
}

// The setup header as far as it says that it goes.
absl::StatusOr<std::span<const std::byte>> FindHeader(
    std::span<const std::byte> file) {
  const uint64_t end = kJumpFrom + static_cast<uint8_t>(file[kJumpOffset]);
  const uint64_t size = std::min(end - kHeaderOffset, kMaxHeaderSize);
  if (size < kMinHeaderSize || !RangeFits(file.size(), kHeaderOffset, size)) {
    return Malformed(
        "jump", end - kJumpFrom,
        absl::StrCat("a header of at least ",
                     kHeaderOffset + kMinHeaderSize - kJumpFrom,
                     " bytes inside the file of ", file.size(), " bytes"));
  }
  return file.subspan(kHeaderOffset, size);
}

// The protected-mode kernel, which follows the setup sectors.
absl::StatusOr<std::span<const std::byte>> FindProtectedMode(
    std::span<const std::byte> file, const setup_header& header) {
  const uint64_t sectors =
      header.setup_sects == 0 ? kDefaultSetupSectors : header.setup_sects;
  const uint64_t offset = (sectors + 1) * kSectorSize;
  if (offset > file.size()) {
    return Malformed(
        "setup_sects", header.setup_sects,
        absl::StrCat("to lie in the file of ", file.size(), " bytes"));
  }
  // Rounded up: the file may end within the last paragraph.
  const uint64_t held = file.size() - offset;
  const uint64_t paragraphs = (held + kParagraphSize - 1) / kParagraphSize;
  const uint64_t size =
      std::min(uint64_t{header.syssize} * kParagraphSize, held);
  if (size <= kEntry64Offset || header.syssize > paragraphs) {
    return Malformed(
        "syssize", header.syssize,
        absl::StrCat("more than ", kEntry64Offset / kParagraphSize,
                     " and at most ", paragraphs,
                     ", what the file holds behind its setup"));
  }
  if (header.init_size < size) {
    return Malformed("init_size", header.init_size,
                     absl::StrCat("at least the kernel's ", size, " bytes"));
  }
  return file.subspan(offset, size);
}

absl::StatusOr<std::span<const std::byte>> FindPayload(
    std::span<const std::byte> protected_mode, const setup_header& header) {
  if (header.payload_length == 0) return std::span<const std::byte>();
  if (!RangeFits(protected_mode.size(), header.payload_offset,
                 header.payload_length)) {
    return Malformed("payload_length", header.payload_length,
                     absl::StrCat("with payload_offset ", header.payload_offset,
                                  " to end within the kernel's ",
                                  protected_mode.size(), " bytes"));
  }
  return protected_mode.subspan(header.payload_offset, header.payload_length);
}

absl::StatusOr<GpaRange> PlaceKernel(const BzImage& image, RamPlacer& placer) {
  const GpaRange preferred{image.preferred_address(), image.init_size()};
  const bool mapped =
      RangeFits(kFourGiB, preferred.start.value(), preferred.size);
  if (mapped && placer.Take(preferred, "kernel").ok()) return preferred;
  if (!image.relocatable()) {
    return absl::OutOfRangeError(absl::StrCat(
        "bzImage is not relocatable, and its ", preferred.size,
        " bytes at pref_address 0x", absl::Hex(preferred.start.value()),
        " are not wholly in RAM of the memory map below 4 GiB"));
  }
  LIBVMM_ASSIGN_OR_RETURN(const Gpa start,
                          placer.TakeLowest({.what = "kernel",
                                             .size = image.init_size(),
                                             .alignment = image.alignment(),
                                             .first = kOneMiB,
                                             .last = Gpa(kFourGiB - 1)}));
  return GpaRange{start, image.init_size()};
}

absl::StatusOr<GpaRange> PlaceInitrd(const BzImage& image, uint64_t size,
                                     RamPlacer& placer) {
  if (size == 0) return GpaRange{};
  // The kernel gives the initrd's pages back whole.
  LIBVMM_ASSIGN_OR_RETURN(
      const Gpa start,
      placer.TakeHighest(
          {.what = "initrd",
           .size = RamPlacer::WholePages(size),
           .alignment = kPageSize,
           .last = std::min(image.max_initrd_address(), Gpa(kFourGiB - 1))}));
  return GpaRange{start, size};
}

absl::StatusOr<GpaRange> PlaceLow(absl::string_view what, uint64_t size,
                                  uint64_t alignment, RamPlacer& placer) {
  if (size == 0) return GpaRange{};
  LIBVMM_ASSIGN_OR_RETURN(const Gpa start,
                          placer.TakeLowest({.what = what,
                                             .size = size,
                                             .alignment = alignment,
                                             .last = Gpa(kFourGiB - 1)}));
  return GpaRange{start, size};
}

absl::StatusOr<BzImageStart> Place(const BzImage& image,
                                   const LinuxBootOptions& options) {
  RamPlacer placer(options.memory_map);
  BzImageStart start;
  LIBVMM_ASSIGN_OR_RETURN(start.kernel, PlaceKernel(image, placer));
  LIBVMM_ASSIGN_OR_RETURN(start.initrd,
                          PlaceInitrd(image, options.initrd.size(), placer));
  LIBVMM_ASSIGN_OR_RETURN(start.tables,
                          PlaceLow("tables", kTablesSize, kPageSize, placer));
  LIBVMM_ASSIGN_OR_RETURN(
      const GpaRange params,
      PlaceLow("boot parameters", sizeof(boot_params), kPageSize, placer));
  const uint64_t seed = options.random_seed.size();
  LIBVMM_ASSIGN_OR_RETURN(
      start.setup_data,
      PlaceLow("setup data", seed == 0 ? 0 : sizeof(setup_data) + seed,
               alignof(setup_data), placer));
  LIBVMM_ASSIGN_OR_RETURN(
      start.command_line,
      PlaceLow("command line", options.command_line.text().size() + 1, 1,
               placer));
  start.boot_params = params.start;
  start.entry = start.kernel.start + kEntry64Offset;
  return start;
}

boot_params BuildBootParams(std::span<const std::byte> header_bytes,
                            const LinuxBootOptions& options,
                            const BzImageStart& start) {
  boot_params params{};
  std::memcpy(reinterpret_cast<std::byte*>(&params) + kHeaderOffset,
              header_bytes.data(), header_bytes.size());
  setup_header& header = params.hdr;
  header.vid_mode = kVideoModeNormal;
  header.type_of_loader = kUnregisteredLoader;
  header.code32_start = static_cast<uint32_t>(start.kernel.start.value());
  // All below 4 GiB, so that the ext_ fields stay zero.
  header.cmd_line_ptr = static_cast<uint32_t>(start.command_line.start.value());
  header.ramdisk_image = static_cast<uint32_t>(start.initrd.start.value());
  header.ramdisk_size = static_cast<uint32_t>(start.initrd.size);
  header.setup_data = start.setup_data.start.value();
  params.acpi_rsdp_addr = options.rsdp.value_or(Gpa(0)).value();
  for (const E820Entry& entry : options.memory_map.entries()) {
    params.e820_table[params.e820_entries++] = {
        .addr = entry.range.start.value(),
        .size = entry.range.size,
        .type = static_cast<uint32_t>(entry.type)};
  }
  return params;
}

std::vector<std::byte> BuildSetupData(std::span<const std::byte> seed) {
  setup_data node{};
  node.type = kSetupRngSeed;
  node.len = static_cast<uint32_t>(seed.size());
  std::vector<std::byte> bytes(sizeof node);
  std::memcpy(bytes.data(), &node, sizeof node);
  bytes.insert(bytes.end(), seed.begin(), seed.end());
  return bytes;
}

}  // namespace

absl::StatusOr<BzImage> BzImage::Parse(std::span<const std::byte> file) {
  LIBVMM_ASSIGN_OR_RETURN(const setup_header header, CopyHeader(file));
  LIBVMM_RETURN_IF_ERROR(CheckHeader(header));
  BzImage image;
  LIBVMM_ASSIGN_OR_RETURN(image.setup_header_, FindHeader(file));
  LIBVMM_ASSIGN_OR_RETURN(image.protected_mode_,
                          FindProtectedMode(file, header));
  LIBVMM_ASSIGN_OR_RETURN(image.payload_,
                          FindPayload(image.protected_mode_, header));
  image.protocol_ = header.version;
  image.relocatable_ = header.relocatable_kernel != 0;
  image.preferred_address_ = Gpa(header.pref_address);
  image.init_size_ = header.init_size;
  image.alignment_ = header.kernel_alignment;
  image.max_command_line_size_ = header.cmdline_size;
  image.max_initrd_address_ = Gpa(header.initrd_addr_max);
  return image;
}

absl::StatusOr<BzImageStart> BzImage::Load(const LinuxBootOptions& options,
                                           GuestMemory& memory) const {
  LIBVMM_RETURN_IF_ERROR(options.Validate(max_command_line_size_));
  LIBVMM_ASSIGN_OR_RETURN(const BzImageStart start, Place(*this, options));
  const boot_params params = BuildBootParams(setup_header_, options, start);
  const std::vector<std::byte> setup_data = BuildSetupData(options.random_seed);
  const absl::string_view command_line = options.command_line.text();

  internal::LoadPlan plan;
  plan.Add({.what = "kernel", .range = start.kernel, .bytes = protected_mode_});
  plan.Add({.what = "initrd", .range = start.initrd, .bytes = options.initrd});
  plan.Add({.what = "tables", .range = start.tables});
  plan.Add({.what = "boot parameters",
            .range = {start.boot_params, sizeof params},
            .bytes = std::as_bytes(std::span(&params, 1))});
  plan.Add(
      {.what = "setup data", .range = start.setup_data, .bytes = setup_data});
  plan.Add({.what = "command line",
            .range = start.command_line,
            .bytes = std::as_bytes(
                std::span(command_line.data(), command_line.size())),
            .clear_rest = true});
  LIBVMM_RETURN_IF_ERROR(plan.Commit(memory));
  return start;
}

absl::Status EnterBzImage(Vcpu& vcpu, GuestMemory& memory,
                          const BzImageStart& start) {
  const PageMapping identity = IdentityMapping(
      {Gpa(0), kFourGiB}, {.writable = true, .executable = true});
  LIBVMM_RETURN_IF_ERROR(EnterLongMode(
      vcpu, memory,
      {.entry = Gva(start.entry.value()),
       .stack_top = Gva((start.tables.start + start.tables.size).value()),
       .tables = {start.tables.start, kEnterPages * kPageSize},
       .mappings = {&identity, 1}}));
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  regs->rsi = start.boot_params.value();
  return absl::OkStatus();
}

}  // namespace libvmm
