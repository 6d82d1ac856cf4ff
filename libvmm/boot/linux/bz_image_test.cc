// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/bz_image.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/bz_image_builder.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::libvmm::testing::BzImageBuilder;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

constexpr uint8_t kCode[] = {0x90, 0xf4};  // nop; hlt

// Bytes that tell their place.
std::vector<std::byte> Pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

// 640 KiB less an EBDA, and the memory from 1 MiB up to `end`.
E820Map PcMap(uint64_t end) {
  E820Map map;
  EXPECT_OK(map.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
  EXPECT_OK(map.Add({Gpa(0x9fc00), 0x60400}, E820Type::kReserved));
  EXPECT_OK(map.Add({Gpa(kMiB), end - kMiB}, E820Type::kRam));
  return map;
}

struct Memory {
  explicit Memory(uint64_t size, Gpa gpa = Gpa(0)) {
    EXPECT_OK(memory->Add(
        gpa, *MemoryRegion::Anonymous({.size = size, .no_reserve = true})));
  }
  template <typename T>
  T At(Gpa gpa) const {
    return memory->Load<T>(gpa).value();
  }
  std::vector<std::byte> Bytes(Gpa gpa, size_t size) const {
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(memory->Read(gpa, bytes));
    return bytes;
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
};

TEST(BzImageTest, ParseTellsWhatTheHeaderSays) {
  const std::vector<std::byte> payload = Pattern(100);
  const auto file = BzImageBuilder().SetCode(kCode).SetPayload(payload).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  EXPECT_EQ(image.protocol(), 0x020f);
  EXPECT_EQ(image.preferred_address(), Gpa(0x100000));
  EXPECT_EQ(image.init_size(), 0x10000u);
  EXPECT_TRUE(image.relocatable());
  EXPECT_EQ(image.alignment(), 0x1000u);
  EXPECT_EQ(image.max_command_line_size(), 255u);
  EXPECT_EQ(image.max_initrd_address(), Gpa(0x7fffffff));
  EXPECT_EQ(
      std::vector<std::byte>(image.payload().begin(), image.payload().end()),
      payload);
}

TEST(BzImageTest, AKernelWithoutPayloadHasNone) {
  const auto file = BzImageBuilder().SetCode(kCode).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  EXPECT_TRUE(image.payload().empty());
}

TEST(BzImageTest, SpoiltHeadersAreRefusedByField) {
  struct Row {
    const char* name;
    BzImageBuilder builder;
    absl::StatusCode code;
    const char* message;
  };
  const auto with = [](uint64_t offset, auto value) {
    return BzImageBuilder().Set(offset, value);
  };
  const Row rows[] = {
      {"boot flag", with(0x1fe, uint16_t{0xaa54}), kInvalid,
       "bzImage boot_flag is 0xaa54, expected 0xaa55"},
      {"magic", with(0x202, uint32_t{0x53726449}), kInvalid,
       "bzImage header is 0x53726449, expected 0x53726448 (HdrS)"},
      {"protocol 2.11", with(0x206, uint16_t{0x020b}), kUnimplemented,
       "bzImage version is 0x20b; supported is 0x20c (2.12) and later"},
      {"zImage", with(0x211, uint8_t{0x80}), kUnimplemented,
       "bzImage loadflags is 0x80; supported is LOADED_HIGH (bit 0)"},
      {"32-bit kernel", with(0x236, uint16_t{0x7e}), kUnimplemented,
       "bzImage xloadflags is 0x7e; supported is XLF_KERNEL_64 (bit 0)"},
      {"alignment", with(0x230, uint32_t{0x1800}), kInvalid,
       "bzImage kernel_alignment is 0x1800, expected a power of two"},
      {"no alignment", with(0x230, uint32_t{0}), kInvalid,
       "bzImage kernel_alignment is 0x0, expected a power of two"},
      {"preferred address", with(0x258, ~uint64_t{0} - 0xfff), kInvalid,
       "bzImage pref_address is 0xfffffffffffff000, expected init_size bytes "
       "below the end of the address space"},
      {"short header", with(0x201, uint8_t{0x65}), kInvalid,
       "bzImage jump is 0x65, expected a header of at least 102 bytes"},
      {"setup beyond the file", with(0x1f1, uint8_t{3}), kInvalid,
       "bzImage setup_sects is 0x3, expected to lie in the file of 1552"},
      {"default setup beyond the file", with(0x1f1, uint8_t{0}), kInvalid,
       "bzImage setup_sects is 0x0, expected to lie in the file of 1552"},
      {"kernel without entry", with(0x1f4, uint32_t{0x20}), kInvalid,
       "bzImage syssize is 0x20, expected more than 32 and at most 33"},
      {"kernel beyond the file", with(0x1f4, uint32_t{0x22}), kInvalid,
       "bzImage syssize is 0x22, expected more than 32 and at most 33"},
      {"huge kernel", with(0x1f4, ~uint32_t{0}), kInvalid,
       "bzImage syssize is 0xffffffff"},
      {"init size", with(0x260, uint32_t{527}), kInvalid,
       "bzImage init_size is 0x20f, expected at least the kernel's 528 bytes"},
      {"payload beyond the kernel",
       BzImageBuilder().Set(0x248, 0x200u).Set(0x24c, 0x11u), kInvalid,
       "bzImage payload_length is 0x11, expected with payload_offset 512 to "
       "end within the kernel's 528 bytes"},
      {"payload that wraps", BzImageBuilder().Set(0x248, ~0u).Set(0x24c, ~0u),
       kInvalid, "bzImage payload_length is 0xffffffff"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto file = row.builder.Build();
    EXPECT_THAT(BzImage::Parse(file),
                StatusIs(row.code, HasSubstr(row.message)));
  }
}

TEST(BzImageTest, TruncatedFilesAreRefused) {
  // syssize counts paragraphs of 16 bytes, rounded up: of the last, one byte
  // will do, as memtest86+ has it.
  constexpr size_t kParagraph = 16;
  const auto file = BzImageBuilder().SetCode(kCode).Build();
  for (size_t size = 0; size < file.size(); ++size) {
    const auto image = BzImage::Parse(std::span(file).first(size));
    if (size <= file.size() - kParagraph) {
      EXPECT_THAT(image, StatusIs(kInvalid)) << size;
    } else {
      EXPECT_OK(image) << size;
    }
  }
  EXPECT_OK(BzImage::Parse(file));
}

TEST(BzImageTest, WhatFollowsTheKernelIsIgnored) {
  auto file = BzImageBuilder().SetCode(kCode).Build();
  file.resize(file.size() + 1000, std::byte{0xee});  // a signature
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_OK(image.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_THAT(memory.Bytes(Gpa(kMiB + 0x210), 1000), Each(std::byte{0}));
}

TEST(BzImageTest, LoadPutsEachPieceInItsPlace) {
  const auto file = BzImageBuilder()
                        .SetCode(kCode)
                        .Set<uint32_t>(0x268, 0x12345678)  // kernel_info_offset
                        .Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(4 * kMiB);
  const std::vector<std::byte> initrd = Pattern(5000);
  const std::vector<std::byte> seed = Pattern(32);
  LinuxBootOptions options{.memory_map = PcMap(4 * kMiB),
                           .initrd = initrd,
                           .rsdp = Gpa(0xe1230),
                           .random_seed = seed};
  ASSERT_OK(options.command_line.Append("console=ttyS0"));
  ASSERT_OK_AND_ASSIGN(const BzImageStart start,
                       image.Load(options, *memory.memory));

  EXPECT_EQ(start.entry, Gpa(0x100200));
  EXPECT_EQ(start.kernel, (GpaRange{Gpa(0x100000), 0x10000}));
  EXPECT_EQ(memory.Bytes(start.entry, 2),
            (std::vector<std::byte>{std::byte{0x90}, std::byte{0xf4}}));
  EXPECT_EQ(start.initrd, (GpaRange{Gpa(0x3fe000), 5000}));
  EXPECT_EQ(memory.Bytes(start.initrd.start, 5000), initrd);
  EXPECT_EQ(start.tables, (GpaRange{Gpa(0x1000), 0x8000}));
  EXPECT_EQ(start.boot_params, Gpa(0x9000));
  EXPECT_EQ(start.setup_data, (GpaRange{Gpa(0xa000), 48}));
  EXPECT_EQ(memory.At<uint64_t>(Gpa(0xa000)), 0u);  // next
  EXPECT_EQ(memory.At<uint32_t>(Gpa(0xa008)), 9u);  // type: SETUP_RNG_SEED
  EXPECT_EQ(memory.At<uint32_t>(Gpa(0xa00c)), 32u);
  EXPECT_EQ(memory.Bytes(Gpa(0xa010), 32), seed);
  EXPECT_EQ(start.command_line, (GpaRange{Gpa(0xa030), 14}));
  std::array<char, 32> text{};
  EXPECT_EQ(memory.memory->ReadString(Gpa(0xa030), text), 13u);
  EXPECT_STREQ(text.data(), "console=ttyS0");

  const Gpa params = start.boot_params;
  EXPECT_EQ(memory.At<uint64_t>(params + 0x070), 0xe1230u);  // acpi_rsdp_addr
  EXPECT_EQ(memory.At<uint32_t>(params + 0x0c0), 0u);  // ext_ramdisk_image
  EXPECT_EQ(memory.At<uint8_t>(params + 0x1e8), 3);    // e820_entries
  EXPECT_EQ(memory.At<uint8_t>(params + 0x1ef), 0);    // sentinel
  EXPECT_EQ(memory.At<uint8_t>(params + 0x1f1), 1);    // setup_sects, copied
  EXPECT_EQ(memory.At<uint16_t>(params + 0x1fa), 0xffff);       // vid_mode
  EXPECT_EQ(memory.At<uint32_t>(params + 0x202), 0x53726448u);  // header
  EXPECT_EQ(memory.At<uint8_t>(params + 0x210), 0xff);        // type_of_loader
  EXPECT_EQ(memory.At<uint8_t>(params + 0x211), 0x01);        // loadflags
  EXPECT_EQ(memory.At<uint32_t>(params + 0x214), 0x100000u);  // code32_start
  EXPECT_EQ(memory.At<uint32_t>(params + 0x218), 0x3fe000u);  // ramdisk_image
  EXPECT_EQ(memory.At<uint32_t>(params + 0x21c), 5000u);      // ramdisk_size
  EXPECT_EQ(memory.At<uint32_t>(params + 0x228), 0xa030u);    // cmd_line_ptr
  EXPECT_EQ(memory.At<uint64_t>(params + 0x250), 0xa000u);    // setup_data
  EXPECT_EQ(memory.At<uint32_t>(params + 0x268), 0x12345678u);
  // e820_table: 20 bytes each.
  EXPECT_EQ(memory.At<uint64_t>(params + 0x2d0), 0u);
  EXPECT_EQ(memory.At<uint64_t>(params + 0x2d8), 0x9fc00u);
  EXPECT_EQ(memory.At<uint32_t>(params + 0x2e0), 1u);
  EXPECT_EQ(memory.At<uint64_t>(params + 0x2e4), 0x9fc00u);
  EXPECT_EQ(memory.At<uint64_t>(params + 0x2ec), 0x60400u);
  EXPECT_EQ(memory.At<uint32_t>(params + 0x2f4), 2u);
  EXPECT_EQ(memory.At<uint64_t>(params + 0x2f8), kMiB);
  EXPECT_EQ(memory.At<uint64_t>(params + 0x300), 3 * kMiB);
  EXPECT_EQ(memory.At<uint32_t>(params + 0x308), 1u);
}

TEST(BzImageTest, TheHeaderIsCopiedUpToItsEndOnly) {
  // One byte less than the whole of 2.15, whose last field is then cut.
  const auto file = BzImageBuilder()
                        .Set<uint8_t>(0x201, 0x69)
                        .Set<uint32_t>(0x268, 0x12345678)
                        .Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_OK_AND_ASSIGN(
      const BzImageStart start,
      image.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_EQ(memory.At<uint32_t>(start.boot_params + 0x268), 0x345678u);
}

TEST(BzImageTest, AHeaderOfALaterProtocolIsCopiedAsFarAsThereIsRoom) {
  const auto file = BzImageBuilder()
                        .Set<uint8_t>(0x201, 0xff)
                        .Set<uint32_t>(0x28c, 0xaabbccdd)
                        .Set<uint32_t>(0x290, 0x11223344)
                        .Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_OK_AND_ASSIGN(
      const BzImageStart start,
      image.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_EQ(memory.At<uint32_t>(start.boot_params + 0x28c), 0xaabbccddu);
  EXPECT_EQ(memory.At<uint32_t>(start.boot_params + 0x290), 0u);
}

TEST(BzImageTest, WithoutOptionsTheirFieldsAreZero) {
  const auto file = BzImageBuilder().SetCode(kCode).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_OK_AND_ASSIGN(
      const BzImageStart start,
      image.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_EQ(start.initrd, GpaRange{});
  EXPECT_EQ(start.setup_data, GpaRange{});
  EXPECT_EQ(start.command_line.size, 1u);
  EXPECT_EQ(memory.At<uint8_t>(start.command_line.start), 0);
  EXPECT_EQ(memory.At<uint64_t>(start.boot_params + 0x070), 0u);
  EXPECT_EQ(memory.At<uint64_t>(start.boot_params + 0x218), 0u);
  EXPECT_EQ(memory.At<uint64_t>(start.boot_params + 0x250), 0u);
}

TEST(BzImageTest, ARelocatableKernelGoesWhereThereIsRoom) {
  const auto file = BzImageBuilder()
                        .Set<uint64_t>(0x258, 0x1000000)
                        .Set<uint32_t>(0x230, 0x200000)
                        .Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(8 * kMiB);
  ASSERT_OK_AND_ASSIGN(
      const BzImageStart start,
      image.Load({.memory_map = PcMap(8 * kMiB)}, *memory.memory));
  EXPECT_EQ(start.kernel.start, Gpa(0x200000));
  EXPECT_EQ(memory.At<uint32_t>(start.boot_params + 0x214), 0x200000u);
}

TEST(BzImageTest, AKernelNeverStandsAbove4GiB) {
  const auto file =
      BzImageBuilder().Set<uint64_t>(0x258, 4 * kGiB - 0x8000).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  E820Map map;
  ASSERT_OK(map.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(2 * kGiB), 4 * kGiB}, E820Type::kRam));
  Memory memory(4 * kGiB, Gpa(2 * kGiB));
  ASSERT_OK(
      memory.memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMiB})));
  ASSERT_OK_AND_ASSIGN(const BzImageStart start,
                       image.Load({.memory_map = map}, *memory.memory));
  EXPECT_EQ(start.kernel.start, Gpa(2 * kGiB));
}

TEST(BzImageTest, TheInitrdStaysBelowItsLimitAndAwayFromTheKernel) {
  struct Row {
    uint32_t limit;
    uint64_t at;
  };
  for (const Row& row :
       {Row{0x1fffff, 0x1fe000}, Row{0x200ffe, 0x1fe000},
        Row{0x200fff, 0x1ff000}, Row{0x10ffff, 0x9d000},
        Row{0x111fff, 0x110000}, Row{~uint32_t{0}, 0x3fe000}}) {
    SCOPED_TRACE(row.limit);
    const auto file = BzImageBuilder().Set<uint32_t>(0x22c, row.limit).Build();
    ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
    Memory memory(4 * kMiB);
    const std::vector<std::byte> initrd = Pattern(0x1001);
    ASSERT_OK_AND_ASSIGN(
        const BzImageStart start,
        image.Load({.memory_map = PcMap(4 * kMiB), .initrd = initrd},
                   *memory.memory));
    EXPECT_EQ(start.initrd.start, Gpa(row.at));
    EXPECT_FALSE(start.initrd.Overlaps(start.kernel));
  }
}

TEST(BzImageTest, LoadsThatCannotBeAreRefusedAndLeaveMemoryAlone) {
  const auto movable = BzImageBuilder().SetCode(kCode).Build();
  const auto fixed =
      BzImageBuilder().SetCode(kCode).Set<uint8_t>(0x234, 0).Build();
  const std::vector<std::byte> mib = Pattern(kMiB);
  E820Map crowded;
  for (uint64_t i = 0; i < 129; ++i) {
    ASSERT_OK(crowded.Add({Gpa(i * 0x2000), 0x1000}, E820Type::kRam));
  }
  E820Map high;
  ASSERT_OK(high.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
  ASSERT_OK(high.Add({Gpa(kMiB + 0x1000), kMiB}, E820Type::kRam));
  LinuxBootOptions long_line{.memory_map = PcMap(2 * kMiB)};
  ASSERT_OK(long_line.command_line.Append(std::string(256, 'x')));
  struct Row {
    const char* name;
    const std::vector<std::byte>& file;
    LinuxBootOptions options;
    absl::StatusCode code;
    const char* message;
  };
  const Row rows[] = {
      {"command line", movable, long_line, kInvalid,
       "command line size is 256, at most 255 is possible"},
      {"map",
       movable,
       {.memory_map = crowded},
       kInvalid,
       "number of memory map entries is 129, at most 128 is possible"},
      {"seed",
       movable,
       {.memory_map = PcMap(2 * kMiB),
        .random_seed = std::span(mib).first(4097)},
       kInvalid,
       "random seed size is 4097, at most 4096 is possible"},
      {"fixed place taken",
       fixed,
       {.memory_map = high},
       absl::StatusCode::kOutOfRange,
       "bzImage is not relocatable, and its 65536 bytes at pref_address "
       "0x100000 are not wholly in RAM"},
      {"no RAM",
       movable,
       {},
       absl::StatusCode::kResourceExhausted,
       "kernel: no room for 65536 bytes"},
      {"initrd too large",
       movable,
       {.memory_map = PcMap(2 * kMiB), .initrd = mib},
       absl::StatusCode::kResourceExhausted,
       "initrd: no room for 1048576 bytes"},
      {"less memory than the map says",
       movable,
       {.memory_map = PcMap(3 * kMiB), .initrd = std::span(mib).first(10)},
       absl::StatusCode::kOutOfRange,
       "initrd, 10 bytes at gpa 0x2ff000, is not wholly in writable guest "
       "memory"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(row.file));
    Memory memory(2 * kMiB);
    EXPECT_THAT(image.Load(row.options, *memory.memory),
                StatusIs(row.code, HasSubstr(row.message)));
    EXPECT_EQ(memory.Bytes(Gpa(0), 2 * kMiB), std::vector<std::byte>(2 * kMiB));
  }
}

TEST(BzImageTest, TheLargestOptionsLoad) {
  const auto file = BzImageBuilder().SetCode(kCode).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  LinuxBootOptions options{.memory_map = PcMap(2 * kMiB)};
  for (uint64_t i = 3; i < 128; ++i) {
    ASSERT_OK(options.memory_map.Add({Gpa(kGiB + i * 0x2000), 0x1000},
                                     E820Type::kReserved));
  }
  ASSERT_OK(options.command_line.Append(std::string(255, 'x')));
  const std::vector<std::byte> seed = Pattern(4096);
  options.random_seed = seed;
  Memory memory(2 * kMiB);
  ASSERT_OK_AND_ASSIGN(const BzImageStart start,
                       image.Load(options, *memory.memory));
  EXPECT_EQ(memory.At<uint8_t>(start.boot_params + 0x1e8), 128);
  EXPECT_EQ(memory.At<uint64_t>(start.boot_params + (0x2d0 + 127 * 20)),
            kGiB + 127 * 0x2000);
  EXPECT_EQ(memory.At<uint8_t>(start.command_line.start + 255), 0);
}

TEST(BzImageTest, ASecondLoadIsAsTheFirst) {
  const auto file = BzImageBuilder().SetCode(kCode).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  Memory memory(2 * kMiB);
  const LinuxBootOptions options{.memory_map = PcMap(2 * kMiB)};
  ASSERT_OK_AND_ASSIGN(const BzImageStart first,
                       image.Load(options, *memory.memory));
  const auto before = memory.Bytes(first.boot_params, 4096);
  ASSERT_TRUE(memory.memory->Fill({Gpa(0x1000), 0x10000}, std::byte{0xcc}));
  ASSERT_TRUE(memory.memory->Fill({first.entry, 16}, std::byte{0xcc}));
  ASSERT_OK_AND_ASSIGN(const BzImageStart second,
                       image.Load(options, *memory.memory));
  EXPECT_EQ(second.boot_params, first.boot_params);
  EXPECT_EQ(memory.Bytes(first.boot_params, 4096), before);
  EXPECT_EQ(memory.At<uint16_t>(first.entry), 0xf490);
}

// What the boot protocol promises, as the kernel sees it. The word at 0x1c0000
// and behind are the report.
LIBVMM_GUEST_CODE(kReport, 64, R"(
  mov $0x1c0000, %edi
  mov %rsi, (%rdi)
  mov %cr0, %rax
  mov %rax, 8(%rdi)
  mov %cs, %eax
  mov %rax, 16(%rdi)
  mov %ds, %eax
  mov %rax, 24(%rdi)
  mov %ss, %eax
  mov %rax, 32(%rdi)
  pushfq
  pop %rax
  mov %rax, 40(%rdi)
  mov 0x228(%rsi), %eax     # cmd_line_ptr
  mov (%rax), %al
  out %al, $0xf4
  mov 0x218(%rsi), %eax     # ramdisk_image
  mov (%rax), %al
  out %al, $0xf4
  hlt
)");

TEST(BzImageTest, TheKernelStartsByThe64BitProtocol) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  const auto file = BzImageBuilder().SetCode(kReport).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  const std::vector<std::byte> initrd(100, std::byte{0x5a});
  LinuxBootOptions options{.memory_map = PcMap(BootGuest::kMemorySize),
                           .initrd = initrd};
  ASSERT_OK(options.command_line.Append("quiet"));
  ASSERT_OK_AND_ASSIGN(const BzImageStart start,
                       image.Load(options, guest.memory()));
  ASSERT_OK(EnterBzImage(guest.vcpu(), guest.memory(), start));
  EXPECT_EQ(guest.RunToPort(), 'q');
  EXPECT_EQ(guest.Word(Gpa(0x1c0000)), start.boot_params.value());
  EXPECT_EQ(guest.Word(Gpa(0x1c0008)) & 0x80000001, 0x80000001u);  // PG, PE
  EXPECT_EQ(guest.Word(Gpa(0x1c0010)), 0x10u);
  EXPECT_EQ(guest.Word(Gpa(0x1c0018)), 0x18u);
  EXPECT_EQ(guest.Word(Gpa(0x1c0020)), 0x18u);
  EXPECT_EQ(guest.Word(Gpa(0x1c0028)) & 0x200, 0u);  // IF
  EXPECT_EQ(guest.RunToPort(), 0x5a);
}

// Reads where nothing is but the mapping: an unmapped page would end the guest.
LIBVMM_GUEST_CODE(kReachTheEnd, 64, R"(
  mov $0xfffffff8, %eax
  mov (%rax), %rbx
  hlt
)");

TEST(BzImageTest, TheFirst4GiBAreMapped) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  const auto file = BzImageBuilder().SetCode(kReachTheEnd).Build();
  ASSERT_OK_AND_ASSIGN(const BzImage image, BzImage::Parse(file));
  ASSERT_OK_AND_ASSIGN(const BzImageStart start,
                       image.Load({.memory_map = PcMap(BootGuest::kMemorySize)},
                                  guest.memory()));
  ASSERT_OK(EnterBzImage(guest.vcpu(), guest.memory(), start));
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kMmio);
}

TEST(BzImageTest, EntryNeedsTheTablesInMemory) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  const BzImageStart start{.entry = Gpa(0x100200),
                           .boot_params = Gpa(0x9000),
                           .tables = {Gpa(BootGuest::kMemorySize), 0x8000}};
  EXPECT_THAT(EnterBzImage(guest.vcpu(), guest.memory(), start),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("are not wholly in writable guest memory")));
}

}  // namespace
}  // namespace libvmm
