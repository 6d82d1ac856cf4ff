// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/pvh_kernel.h"

#include <elf.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/elf_builder.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::libvmm::testing::ElfBuilder;
using ::libvmm::testing::ElfNote;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint64_t kMiB = uint64_t{1} << 20;

std::vector<std::byte> Bytes(size_t size, uint8_t value) {
  return std::vector<std::byte>(size, std::byte{value});
}

template <typename T>
std::vector<std::byte> PvhNote(T entry, uint32_t type = 18) {
  return ElfNote(std::span("Xen"), type, std::as_bytes(std::span(&entry, 1)));
}

// Text at 1 MiB, data with BSS behind it, and the note `note`. Their virtual
// addresses are not their physical ones, as in vmlinux.
ElfBuilder Vmlinux(std::span<const std::byte> note,
                   std::span<const uint8_t> code) {
  constexpr uint64_t kKernelBase = 0xffffffff80000000;
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(kMiB),
               .gva = Gva(kKernelBase + kMiB),
               .contents = std::as_bytes(code),
               .flags = PF_R | PF_X});
  elf.AddLoad({.gpa = Gpa(kMiB + 0x10000),
               .gva = Gva(kKernelBase + kMiB + 0x10000),
               .contents = Bytes(100, 0xdd),
               .memory_size = 0x2000,
               .flags = PF_R | PF_W});
  elf.AddProgram(PT_NOTE, note);
  return elf;
}

constexpr uint8_t kCode[] = {0x90, 0x90, 0x90, 0x90, 0xf4};  // nop...; hlt

E820Map PcMap(uint64_t end) {
  E820Map map;
  EXPECT_OK(map.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
  EXPECT_OK(map.Add({Gpa(0x9fc00), 0x60400}, E820Type::kReserved));
  EXPECT_OK(map.Add({Gpa(kMiB), end - kMiB}, E820Type::kRam));
  return map;
}

struct Memory {
  explicit Memory(uint64_t size) {
    const MemoryRegion region = *MemoryRegion::Anonymous({.size = size});
    EXPECT_OK(memory->Add(Gpa(0), region));
  }
  template <typename T>
  T At(Gpa gpa) const {
    return memory->Load<T>(gpa).value();
  }
  std::vector<std::byte> Read(Gpa gpa, size_t size) const {
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(memory->Read(gpa, bytes));
    return bytes;
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
};

TEST(PvhKernelTest, TheEntryIsThatOfTheNote) {
  struct Row {
    const char* name;
    std::vector<std::byte> note;
  };
  std::vector<std::byte> others = PvhNote(uint32_t{1}, 17);
  const std::vector<std::byte> right = PvhNote(uint32_t{0x100004});
  others.insert(others.end(), right.begin(), right.end());
  for (const Row& row :
       {Row{"4 bytes", right}, Row{"8 bytes", PvhNote(uint64_t{0x100004})},
        Row{"not the first note", others}}) {
    SCOPED_TRACE(row.name);
    const auto file = Vmlinux(row.note, kCode).Build();
    ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
    EXPECT_EQ(kernel.entry(), Gpa(0x100004));
    EXPECT_EQ(kernel.image().segments().size(), 2u);
  }
}

TEST(PvhKernelTest, A32BitProgramWillDo) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(kMiB),
               .contents = std::as_bytes(std::span(kCode)),
               .flags = PF_R | PF_X});
  elf.AddProgram(PT_NOTE, PvhNote(uint32_t{0x100000}));
  const auto file = elf.Build32();
  ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
  EXPECT_EQ(kernel.entry(), Gpa(0x100000));
}

TEST(PvhKernelTest, KernelsWithoutAUsableEntryAreRefused) {
  struct Row {
    const char* name;
    std::vector<std::byte> note;
    absl::StatusCode code;
    const char* message;
  };
  for (const Row& row : {
           Row{"no note",
               {},
               absl::StatusCode::kUnimplemented,
               "ELF program has no note XEN_ELFNOTE_PHYS32_ENTRY (\"Xen\", "
               "18), and so no PVH entry point"},
           Row{"2 bytes", PvhNote(uint16_t{0}), kInvalid,
               "XEN_ELFNOTE_PHYS32_ENTRY has a descriptor of 2 bytes, expected "
               "4 or 8"},
           Row{"above 4 GiB", PvhNote(uint64_t{0x100100004}), kInvalid,
               "XEN_ELFNOTE_PHYS32_ENTRY is 0x100100004, expected an address "
               "below 4 GiB"},
           Row{"outside", PvhNote(uint32_t{0x100005}), kInvalid,
               "XEN_ELFNOTE_PHYS32_ENTRY is 0x100005, inside no PT_LOAD "
               "segment"},
       }) {
    SCOPED_TRACE(row.name);
    EXPECT_THAT(PvhKernel::Parse(Vmlinux(row.note, kCode).Build()),
                StatusIs(row.code, row.message));
  }
}

TEST(PvhKernelTest, WhatIsNoElfFileIsRefusedAsSuch) {
  EXPECT_THAT(PvhKernel::Parse({}),
              StatusIs(kInvalid, "ELF file size is 0, expected at least 64"));
  EXPECT_THAT(PvhKernel::Parse(Bytes(64, 1)),
              StatusIs(kInvalid, HasSubstr("EI_MAG0")));
}

TEST(PvhKernelTest, LoadPutsEachPieceInItsPlace) {
  const auto file = Vmlinux(PvhNote(uint32_t{0x100004}), kCode).Build();
  ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
  Memory memory(4 * kMiB);
  ASSERT_TRUE(memory.memory->Fill({Gpa(0), 4 * kMiB}, std::byte{0xee}));
  const std::vector<std::byte> initrd = Bytes(5000, 0x1d);
  LinuxBootOptions options{
      .memory_map = PcMap(4 * kMiB), .initrd = initrd, .rsdp = Gpa(0xe1230)};
  ASSERT_OK(options.command_line.Append("console=ttyS0"));
  ASSERT_OK_AND_ASSIGN(const PvhStart start,
                       kernel.Load(options, *memory.memory));

  EXPECT_EQ(start.entry, Gpa(0x100004));
  EXPECT_EQ(start.kernel, (GpaRange{Gpa(kMiB), 0x12000}));
  EXPECT_EQ(memory.At<uint8_t>(start.entry), 0xf4);
  EXPECT_EQ(memory.Read(Gpa(0x110000), 100), Bytes(100, 0xdd));
  EXPECT_EQ(memory.Read(Gpa(0x110064), 0x2000 - 100), Bytes(0x2000 - 100, 0));
  EXPECT_EQ(memory.At<uint8_t>(Gpa(0x112000)), 0xee);
  EXPECT_EQ(start.initrd, (GpaRange{Gpa(0x3fe000), 5000}));
  EXPECT_EQ(memory.Read(start.initrd.start, 5000), initrd);
  std::array<char, 32> text{};
  EXPECT_EQ(start.command_line.size, 14u);
  EXPECT_EQ(memory.memory->ReadString(start.command_line.start, text), 13u);
  EXPECT_STREQ(text.data(), "console=ttyS0");

  const Gpa info = start.start_info;
  EXPECT_EQ(memory.At<uint32_t>(info), 0x336ec578u);  // magic
  EXPECT_EQ(memory.At<uint32_t>(info + 4), 1u);       // version
  EXPECT_EQ(memory.At<uint32_t>(info + 8), 0u);       // flags
  EXPECT_EQ(memory.At<uint32_t>(info + 12), 1u);      // nr_modules
  EXPECT_EQ(memory.At<uint64_t>(info + 24),
            start.command_line.start.value());          // cmdline_paddr
  EXPECT_EQ(memory.At<uint64_t>(info + 32), 0xe1230u);  // rsdp_paddr
  EXPECT_EQ(memory.At<uint32_t>(info + 48), 3u);        // memmap_entries
  EXPECT_EQ(memory.At<uint32_t>(info + 52), 0u);
  const Gpa modules(memory.At<uint64_t>(info + 16));
  EXPECT_EQ(memory.At<uint64_t>(modules), 0x3fe000u);
  EXPECT_EQ(memory.At<uint64_t>(modules + 8), 5000u);
  EXPECT_EQ(memory.At<uint64_t>(modules + 16), 0u);  // its command line
  EXPECT_EQ(memory.At<uint64_t>(modules + 24), 0u);
  // 24 bytes each.
  const Gpa map(memory.At<uint64_t>(info + 40));
  EXPECT_EQ(memory.At<uint64_t>(map), 0u);
  EXPECT_EQ(memory.At<uint64_t>(map + 8), 0x9fc00u);
  EXPECT_EQ(memory.At<uint64_t>(map + 16), 1u);  // type, and a reserved word
  EXPECT_EQ(memory.At<uint64_t>(map + 24), 0x9fc00u);
  EXPECT_EQ(memory.At<uint64_t>(map + 32), 0x60400u);
  EXPECT_EQ(memory.At<uint64_t>(map + 40), 2u);
  EXPECT_EQ(memory.At<uint64_t>(map + 48), kMiB);
  EXPECT_EQ(memory.At<uint64_t>(map + 56), 3 * kMiB);
  EXPECT_EQ(memory.At<uint64_t>(map + 64), 1u);
  // Nothing reaches into the next piece.
  EXPECT_FALSE((GpaRange{info, 56 + 32 + 72}).Overlaps(start.command_line));
  EXPECT_FALSE((GpaRange{start.tables, 0x88}).Overlaps({info, 56 + 32 + 72}));
}

TEST(PvhKernelTest, WithoutOptionsTheirFieldsAreZero) {
  const auto file = Vmlinux(PvhNote(uint32_t{0x100004}), kCode).Build();
  ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_OK_AND_ASSIGN(
      const PvhStart start,
      kernel.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_EQ(start.initrd, GpaRange{});
  EXPECT_EQ(start.command_line, GpaRange{});
  EXPECT_EQ(memory.At<uint32_t>(start.start_info + 12), 0u);
  EXPECT_EQ(memory.At<uint64_t>(start.start_info + 16), 0u);
  EXPECT_EQ(memory.At<uint64_t>(start.start_info + 24), 0u);
  EXPECT_EQ(memory.At<uint64_t>(start.start_info + 32), 0u);
}

TEST(PvhKernelTest, LoadsThatCannotBeAreRefusedAndLeaveMemoryAlone) {
  const auto file = Vmlinux(PvhNote(uint32_t{0x100004}), kCode).Build();
  ElfBuilder dynamic = Vmlinux(PvhNote(uint32_t{0x100004}), kCode);
  const Elf64_Dyn relocations{.d_tag = DT_RELASZ, .d_un = {.d_val = 24}};
  dynamic.AddProgram(PT_DYNAMIC, std::as_bytes(std::span(&relocations, 1)));
  const auto relocatable = dynamic.Build();
  const std::vector<std::byte> bytes = Bytes(kMiB, 1);
  E820Map crowded;
  for (uint64_t i = 0; i < 129; ++i) {
    ASSERT_OK(crowded.Add({Gpa(i * 0x2000), 0x1000}, E820Type::kRam));
  }
  E820Map low;
  ASSERT_OK(low.Add({Gpa(0), kMiB + 0x11fff}, E820Type::kRam));
  struct Row {
    const char* name;
    const std::vector<std::byte>& file;
    LinuxBootOptions options;
    absl::StatusCode code;
    const char* message;
  };
  const Row rows[] = {
      {"seed",
       file,
       {.memory_map = PcMap(2 * kMiB),
        .random_seed = std::span(bytes).first(32)},
       kInvalid,
       "random seed of 32 bytes: PVH has no place for one"},
      {"map",
       file,
       {.memory_map = crowded},
       kInvalid,
       "number of memory map entries is 129, at most 128 is possible"},
      {"kernel outside RAM",
       file,
       {.memory_map = low},
       absl::StatusCode::kOutOfRange,
       "kernel segment, 8192 bytes at gpa 0x110000, is not wholly in free "
       "RAM"},
      {"initrd too large",
       file,
       {.memory_map = PcMap(2 * kMiB), .initrd = bytes},
       absl::StatusCode::kResourceExhausted,
       "initrd: no room for 1048576 bytes"},
      {"less memory than the map says",
       file,
       {.memory_map = PcMap(3 * kMiB), .initrd = std::span(bytes).first(10)},
       absl::StatusCode::kOutOfRange,
       "initrd, 10 bytes at gpa 0x2ff000, is not wholly in writable guest "
       "memory"},
      {"relocations",
       relocatable,
       {.memory_map = PcMap(2 * kMiB)},
       absl::StatusCode::kUnimplemented,
       "ELF dynamic section lists relocations"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(row.file));
    Memory memory(2 * kMiB);
    EXPECT_THAT(kernel.Load(row.options, *memory.memory),
                StatusIs(row.code, HasSubstr(row.message)));
    EXPECT_EQ(memory.Read(Gpa(0), 2 * kMiB), Bytes(2 * kMiB, 0));
  }
}

TEST(PvhKernelTest, ASecondLoadClearsTheBssAgain) {
  const auto file = Vmlinux(PvhNote(uint32_t{0x100004}), kCode).Build();
  ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
  Memory memory(2 * kMiB);
  const LinuxBootOptions options{.memory_map = PcMap(2 * kMiB)};
  ASSERT_OK_AND_ASSIGN(const PvhStart first,
                       kernel.Load(options, *memory.memory));
  const auto before = memory.Read(Gpa(0), 2 * kMiB);
  ASSERT_TRUE(memory.memory->Fill({first.start_info, 128}, std::byte{0xcc}));
  ASSERT_TRUE(memory.memory->Fill(first.kernel, std::byte{0xcc}));
  ASSERT_OK_AND_ASSIGN(const PvhStart second,
                       kernel.Load(options, *memory.memory));
  EXPECT_EQ(second.start_info, first.start_info);
  const auto after = memory.Read(Gpa(0), 2 * kMiB);
  EXPECT_EQ(std::memcmp(&after[first.start_info.value()],
                        &before[first.start_info.value()], 128),
            0);
  EXPECT_EQ(std::memcmp(&after[0x110000], &before[0x110000], 0x2000), 0);
}

// What the boot ABI promises, as the kernel sees it. The words at 0x1c0000 are
// the report.
LIBVMM_GUEST_CODE(kReport, 32, R"(
  mov $0x1c0000, %edi
  mov $0x1c1000, %esp
  pushf
  pop %eax
  mov %eax, 20(%edi)
  mov %ebx, (%edi)
  mov %cr0, %eax
  mov %eax, 4(%edi)
  mov %cr4, %eax
  mov %eax, 8(%edi)
  xor %eax, %eax
  mov %cs, %ax
  mov %eax, 12(%edi)
  mov %ds, %ax
  mov %eax, 16(%edi)
  mov (%ebx), %eax
  mov %eax, 24(%edi)
  mov 24(%ebx), %eax        # cmdline_paddr
  mov (%eax), %al
  out %al, $0xf4
  mov 16(%ebx), %eax        # modlist_paddr
  mov (%eax), %eax
  mov (%eax), %al
  out %al, $0xf4
  hlt
)");

TEST(PvhKernelTest, TheKernelStartsByTheBootAbi) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  const auto file = Vmlinux(PvhNote(uint32_t{0x100000}), kReport).Build();
  ASSERT_OK_AND_ASSIGN(const PvhKernel kernel, PvhKernel::Parse(file));
  const std::vector<std::byte> initrd = Bytes(100, 0x5a);
  LinuxBootOptions options{.memory_map = PcMap(BootGuest::kMemorySize),
                           .initrd = initrd};
  ASSERT_OK(options.command_line.Append("quiet"));
  ASSERT_OK_AND_ASSIGN(const PvhStart start,
                       kernel.Load(options, guest.memory()));
  ASSERT_OK(EnterPvh(guest.vcpu(), guest.memory(), start));
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs,
                       guest.vcpu().SpecialRegisters());
  EXPECT_EQ(sregs->cr0, 0x11u);
  EXPECT_EQ(sregs->efer, 0u);
  EXPECT_EQ(guest.RunToPort(), 'q');
  const auto report = [&guest](uint64_t index) {
    return guest.memory().Load<uint32_t>(Gpa(0x1c0000 + 4 * index)).value();
  };
  EXPECT_EQ(report(0), start.start_info.value());
  EXPECT_EQ(report(1), 0x11u);  // CR0: PE and ET
  EXPECT_EQ(report(2), 0u);     // CR4
  EXPECT_EQ(report(3), 0x08u);  // CS
  EXPECT_EQ(report(4), 0x10u);  // DS
  EXPECT_EQ(report(5), 2u);     // EFLAGS
  EXPECT_EQ(report(6), 0x336ec578u);
  EXPECT_EQ(guest.RunToPort(), 0x5a);
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kHalt);
}

TEST(PvhKernelTest, EntryNeedsTheTablesInMemory) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  EXPECT_THAT(
      EnterPvh(guest.vcpu(), guest.memory(),
               {.entry = Gpa(kMiB), .tables = Gpa(BootGuest::kMemorySize)}),
      StatusIs(absl::StatusCode::kOutOfRange,
               HasSubstr("not in writable guest memory")));
}

}  // namespace
}  // namespace libvmm
