// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/multiboot/multiboot_image.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/load_plan.h"
#include "libvmm/boot/multiboot/multiboot_format.h"
#include "libvmm/boot/protected_mode.h"
#include "libvmm/boot/ram_placer.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kLast32 = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kTablesAlignment = 8;
constexpr uint64_t kLowerMemoryEnd = 640 * kKiB;
constexpr Gpa kUpperMemory(1024 * kKiB);
// The flags of the required half that this loader knows.
constexpr uint32_t kSupportedFlags =
    multiboot::HeaderPageAlign::kMask | multiboot::HeaderMemoryInfo::kMask;

absl::Status Malformed(absl::string_view field, uint32_t value,
                       absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("Multiboot ", field, " is 0x",
                                                 absl::Hex(value),
                                                 ", expected ", expected));
}

struct FoundHeader {
  multiboot::Header fields;
  uint64_t offset = 0;  // in the file
};

absl::StatusOr<FoundHeader> FindHeader(std::span<const std::byte> file) {
  const uint64_t size = std::min<uint64_t>(file.size(), multiboot::kSearchSize);
  for (uint64_t at = 0; RangeFits(size, at, multiboot::kShortHeaderSize);
       at += multiboot::kHeaderAlignment) {
    FoundHeader found{.fields = {}, .offset = at};
    std::memcpy(&found.fields, file.data() + at, multiboot::kShortHeaderSize);
    const multiboot::Header& fields = found.fields;
    if (fields.magic != multiboot::kHeaderMagic ||
        fields.magic + fields.flags + fields.checksum != 0) {
      continue;
    }
    if (multiboot::HeaderAddressFields::Get(fields.flags) != 0) {
      if (!RangeFits(size, at, sizeof fields)) {
        return Malformed("flags", fields.flags,
                         absl::StrCat("room for the address fields behind the "
                                      "header at ",
                                      at));
      }
      std::memcpy(&found.fields, file.data() + at, sizeof fields);
    }
    return found;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no Multiboot header in the first ", size, " bytes of the file"));
}

absl::Status CheckFlags(uint32_t flags) {
  const uint32_t unknown =
      flags & multiboot::HeaderRequired::kMask & ~kSupportedFlags;
  if (unknown == 0) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "Multiboot flags is 0x", absl::Hex(flags), "; supported of bits 15 to 0 ",
      "is 0x", absl::Hex(kSupportedFlags)));
}

// What the address fields say (3.1.3).
struct RawImage {
  std::span<const std::byte> bytes;
  GpaRange range;
};

absl::StatusOr<RawImage> ParseAddressFields(std::span<const std::byte> file,
                                            const FoundHeader& header) {
  const multiboot::Header& fields = header.fields;
  // Wraps far above any offset when load_addr is the higher.
  const uint64_t before = uint64_t{fields.header_addr} - fields.load_addr;
  if (before > header.offset) {
    return Malformed(
        "load_addr", fields.load_addr,
        absl::StrCat("from 0 to ", header.offset, " bytes below header_addr 0x",
                     absl::Hex(fields.header_addr)));
  }
  const uint64_t offset = header.offset - before;
  // Zero stands for the whole file.
  const uint64_t load_end = fields.load_end_addr == 0
                                ? fields.load_addr + (file.size() - offset)
                                : fields.load_end_addr;
  if (load_end <= fields.header_addr ||
      !RangeFits(file.size(), offset, load_end - fields.load_addr) ||
      load_end - 1 > kLast32) {
    return Malformed("load_end_addr", fields.load_end_addr,
                     absl::StrCat("0, or behind header_addr 0x",
                                  absl::Hex(fields.header_addr),
                                  " and within the ", file.size() - offset,
                                  " bytes that the file holds, below 4 GiB"));
  }
  // Zero stands for no BSS.
  const uint64_t end =
      fields.bss_end_addr == 0 ? load_end : fields.bss_end_addr;
  if (end < load_end) {
    return Malformed(
        "bss_end_addr", fields.bss_end_addr,
        absl::StrCat("0, or from the end of the file's bytes at 0x",
                     absl::Hex(load_end)));
  }
  const GpaRange range{Gpa(fields.load_addr), end - fields.load_addr};
  if (!range.Contains(Gpa(fields.entry_addr))) {
    return Malformed(
        "entry_addr", fields.entry_addr,
        absl::StrCat("from load_addr 0x", absl::Hex(fields.load_addr),
                     " to below 0x", absl::Hex(end)));
  }
  return RawImage{file.subspan(offset, load_end - fields.load_addr), range};
}

// An ELF entry is a virtual address, but execution starts without paging.
Gpa PhysicalEntry(const ElfImage& image) {
  for (const ElfSegment& segment : image.segments()) {
    const uint64_t offset = image.entry() - segment.gva;
    if (offset < segment.memory_size) return segment.gpa + offset;
  }
  return Gpa(image.entry().value());
}

absl::Status CheckStrings(const MultibootImage::Options& options) {
  const auto check = [](absl::string_view what, absl::string_view text) {
    const size_t at = text.find('\0');
    if (at == absl::string_view::npos) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("Multiboot ", what, " has a NUL at ", at));
  };
  LIBVMM_RETURN_IF_ERROR(check("command line", options.command_line));
  LIBVMM_RETURN_IF_ERROR(check("boot loader name", options.boot_loader_name));
  for (const MultibootImage::Module& module : options.modules) {
    LIBVMM_RETURN_IF_ERROR(check("module string", module.string));
  }
  return absl::OkStatus();
}

// KiB of RAM from `start` on without a hole.
uint64_t MemoryFrom(Gpa start, const E820Map& map) {
  for (const E820Entry& entry : map.entries()) {
    if (entry.type == E820Type::kRam && entry.range.Contains(start)) {
      return (entry.range.size - (start - entry.range.start)) / kKiB;
    }
  }
  return 0;
}

// The information structure and all that it points to, but for the modules
// themselves: one piece of memory, put together at offsets from its start.
class InfoBuilder {
 public:
  explicit InfoBuilder(const MultibootImage::Options& options)
      : options_(options), bytes_(sizeof(multiboot::Info)) {
    modules_ = Reserve(options.modules.size() * sizeof(multiboot::ModuleEntry));
    memory_map_ = Reserve(options.memory_map.entries().size() *
                          sizeof(multiboot::MemoryMapEntry));
    command_line_ = AppendString(options.command_line);
    name_ = AppendString(options.boot_loader_name);
    for (const MultibootImage::Module& module : options.modules) {
      strings_.push_back(AppendString(module.string));
    }
  }

  [[nodiscard]] uint64_t size() const { return bytes_.size(); }

  // The bytes for `base`, below 4 GiB, with the modules at their places.
  [[nodiscard]] std::vector<std::byte> Build(
      Gpa base, std::span<const GpaRange> modules) && {
    multiboot::Info info;
    info.flags =
        multiboot::InfoMemory::Of(1) | multiboot::InfoCommandLine::Of(1) |
        multiboot::InfoModules::Of(1) | multiboot::InfoMemoryMap::Of(1) |
        multiboot::InfoBootLoaderName::Of(1);
    const E820Map& map = options_.memory_map;
    info.mem_lower = static_cast<uint32_t>(
        std::min(MemoryFrom(Gpa(0), map), kLowerMemoryEnd / kKiB));
    info.mem_upper =
        static_cast<uint32_t>(std::min(MemoryFrom(kUpperMemory, map), kLast32));
    info.cmdline = Address(base, command_line_);
    info.mods_count = static_cast<uint32_t>(modules.size());
    info.mods_addr = Address(base, modules_);
    info.mmap_length = static_cast<uint32_t>(map.entries().size() *
                                             sizeof(multiboot::MemoryMapEntry));
    info.mmap_addr = Address(base, memory_map_);
    info.boot_loader_name = Address(base, name_);
    Put(0, info);
    for (size_t i = 0; i < modules.size(); ++i) {
      const GpaRange& range = modules[i];
      Put(modules_ + i * sizeof(multiboot::ModuleEntry),
          multiboot::ModuleEntry{.mod_start = Address(range.start, 0),
                                 .mod_end = Address(range.start, range.size),
                                 .string = Address(base, strings_[i])});
    }
    for (size_t i = 0; i < map.entries().size(); ++i) {
      Put(memory_map_ + i * sizeof(multiboot::MemoryMapEntry),
          Encode(map.entries()[i]));
    }
    return std::move(bytes_);
  }

 private:
  static uint32_t Address(Gpa base, uint64_t offset) {
    return static_cast<uint32_t>((base + offset).value());
  }

  static multiboot::MemoryMapEntry Encode(const E820Entry& entry) {
    const uint64_t base = entry.range.start.value();
    const uint64_t length = entry.range.size;
    return {.base_low = static_cast<uint32_t>(base),
            .base_high = static_cast<uint32_t>(base >> 32),
            .length_low = static_cast<uint32_t>(length),
            .length_high = static_cast<uint32_t>(length >> 32),
            .type = static_cast<uint32_t>(entry.type)};
  }

  // Each returns the offset of the new bytes.
  uint64_t Reserve(uint64_t size) {
    const uint64_t at = bytes_.size();
    bytes_.resize(at + size);
    return at;
  }
  uint64_t AppendString(absl::string_view text) {
    const uint64_t at = Reserve(text.size() + 1);
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    std::copy(bytes.begin(), bytes.end(), bytes_.data() + at);
    return at;
  }

  template <typename T>
  void Put(uint64_t offset, const T& value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  }

  const MultibootImage::Options& options_;
  std::vector<std::byte> bytes_;
  uint64_t modules_ = 0;
  uint64_t memory_map_ = 0;
  uint64_t command_line_ = 0;
  uint64_t name_ = 0;
  std::vector<uint64_t> strings_;
};

absl::StatusOr<GpaRange> PlaceModule(uint64_t size, Gpa above,
                                     RamPlacer& placer) {
  // Whole pages, since flag 0 promises the kernel that it can map them. Even an
  // empty module has an address.
  LIBVMM_ASSIGN_OR_RETURN(const Gpa start,
                          placer.TakeLowest({.what = "Multiboot module",
                                             .size = RamPlacer::WholePages(
                                                 std::max(size, uint64_t{1})),
                                             .alignment = kPageSize,
                                             .first = above,
                                             .last = Gpa(kLast32)}));
  return GpaRange{start, size};
}

}  // namespace

absl::StatusOr<MultibootImage> MultibootImage::Parse(
    std::span<const std::byte> file) {
  LIBVMM_ASSIGN_OR_RETURN(const FoundHeader header, FindHeader(file));
  LIBVMM_RETURN_IF_ERROR(CheckFlags(header.fields.flags));
  MultibootImage image;
  if (multiboot::HeaderAddressFields::Get(header.fields.flags) != 0) {
    LIBVMM_ASSIGN_OR_RETURN(const RawImage raw,
                            ParseAddressFields(file, header));
    image.entry_ = Gpa(header.fields.entry_addr);
    image.range_ = raw.range;
    image.raw_ = raw.bytes;
    return image;
  }
  LIBVMM_ASSIGN_OR_RETURN(ElfImage elf, ElfImage::Parse32(file));
  image.entry_ = PhysicalEntry(elf);
  image.range_ = elf.range();
  image.elf_ = std::move(elf);
  return image;
}

absl::StatusOr<MultibootStart> MultibootImage::Load(const Options& options,
                                                    GuestMemory& memory) const {
  LIBVMM_RETURN_IF_ERROR(CheckStrings(options));
  internal::LoadPlan plan;
  RamPlacer placer(options.memory_map);
  const auto add_kernel = [&](GpaRange range,
                              std::span<const std::byte> bytes) {
    plan.Add({.what = "Multiboot kernel",
              .range = range,
              .bytes = bytes,
              .clear_rest = true});
    return placer.Take(range, "Multiboot kernel");
  };
  if (elf_) {
    if (elf_->has_relocations()) {
      return absl::UnimplementedError(
          "ELF dynamic section lists relocations; supported are images "
          "without");
    }
    for (const ElfSegment& segment : elf_->segments()) {
      LIBVMM_RETURN_IF_ERROR(add_kernel(segment.range(), segment.file_bytes));
    }
  } else {
    LIBVMM_RETURN_IF_ERROR(add_kernel(range_, raw_));
  }

  MultibootStart start{.entry = entry_, .kernel = range_};
  for (const Module& module : options.modules) {
    LIBVMM_ASSIGN_OR_RETURN(
        const GpaRange range,
        PlaceModule(module.bytes.size(), range_.start + range_.size, placer));
    plan.Add(
        {.what = "Multiboot module", .range = range, .bytes = module.bytes});
    start.modules.push_back(range);
  }
  const auto place_low = [&placer](absl::string_view what, uint64_t size) {
    return placer.TakeLowest({.what = what,
                              .size = size,
                              .alignment = kTablesAlignment,
                              .last = Gpa(kLast32)});
  };
  InfoBuilder builder(options);
  LIBVMM_ASSIGN_OR_RETURN(
      start.tables, place_low("Multiboot tables", kProtectedModeTablesSize));
  LIBVMM_ASSIGN_OR_RETURN(start.info,
                          place_low("Multiboot information", builder.size()));
  const std::vector<std::byte> info =
      std::move(builder).Build(start.info, start.modules);
  plan.Add({.what = "Multiboot tables",
            .range = {start.tables, kProtectedModeTablesSize}});
  plan.Add({.what = "Multiboot information",
            .range = {start.info, info.size()},
            .bytes = info});
  LIBVMM_RETURN_IF_ERROR(plan.Commit(memory));
  return start;
}

absl::Status EnterMultiboot(Vcpu& vcpu, GuestMemory& memory,
                            const MultibootStart& start) {
  LIBVMM_RETURN_IF_ERROR(EnterProtectedMode(
      vcpu, memory, {.entry = start.entry, .tables = start.tables}));
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  regs->rax = multiboot::kBootMagic;
  regs->rbx = start.info.value();
  return absl::OkStatus();
}

}  // namespace libvmm
