// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/runtime/runtime_image.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/boot/interrupt_gate.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msr_registers.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using Layout = RuntimeLayout;

constexpr uint64_t kMemory = 64 << 10;
constexpr RuntimeCpu kCpu = {
    .smep = true, .smap = true, .umip = true, .xsave = true, .xcr0 = 7};
constexpr Gpa kTables{0x9000};

class RuntimeImageTest : public ::testing::TestWithParam<SyscallEntry> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                         MemoryRegion::Anonymous({.size = kMemory}));
    memory_ = GuestMemory::Create();
    ASSERT_OK(memory_->Add(Gpa(0), region));
    ASSERT_TRUE(WriteRuntime(*memory_, GetParam()));
    SetRuntimeRegisters(kCpu, kTables, sregs_);
  }

  // Bytes at an address of ring 0's.
  std::vector<uint8_t> Read(uint64_t gva, size_t size) {
    std::vector<uint8_t> bytes(size);
    EXPECT_TRUE(memory_->Read(Gpa(gva - Layout::kRuntime.value()),
                              std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  uint64_t Descriptor(uint16_t selector) {
    uint64_t descriptor = 0;
    std::memcpy(&descriptor, Read(sregs_.gdt.base + (selector & ~7u), 8).data(),
                8);
    return descriptor;
  }

  std::unique_ptr<GuestMemory> memory_;
  kvm_sregs sregs_{};
};

INSTANTIATE_TEST_SUITE_P(Entries, RuntimeImageTest,
                         ::testing::Values(SyscallEntry::kRing0,
                                           SyscallEntry::kRing3));

TEST_P(RuntimeImageTest, SelectorsAreInTheTable) {
  EXPECT_EQ(Descriptor(Gdt::kKernelCode64), kKernelCode64Descriptor);
  EXPECT_EQ(Descriptor(Gdt::kKernelData), kKernelDataDescriptor);
  EXPECT_EQ(Descriptor(Gdt::kUserData), kUserDataDescriptor);
  EXPECT_EQ(Descriptor(Gdt::kUserCode64), kUserCode64Descriptor);
  // No code in compatibility mode.
  EXPECT_EQ(Descriptor(Gdt::kKernelCode32), kNullDescriptor);
  EXPECT_EQ(Descriptor(Gdt::kUserCode32), kNullDescriptor);
  EXPECT_EQ(sregs_.gdt.limit, Gdt::kTss + 15);
}

TEST_P(RuntimeImageTest, EveryExceptionHasAGate) {
  const std::vector<uint8_t> table =
      Read(sregs_.idt.base, sregs_.idt.limit + 1);
  ASSERT_EQ(table.size(), RuntimeCode::kTrapCount * sizeof(InterruptGate));
  for (uint8_t vector = 0; vector < RuntimeCode::kTrapCount; ++vector) {
    SCOPED_TRACE(vector);
    InterruptGate gate;
    std::memcpy(&gate, table.data() + vector * sizeof gate, sizeof gate);
    EXPECT_EQ(uint64_t{gate.offset_high} << 32 |
                  uint64_t{gate.offset_middle} << 16 | gate.offset_low,
              RuntimeCode::TrapEntry(vector).value());
    EXPECT_EQ(gate.selector, Gdt::kKernelCode64);
    EXPECT_EQ(gate.stack_table, 1);
    // Ring 3 cannot call it with INT n.
    EXPECT_EQ(InterruptGate::Dpl::Get(gate.type), 0);
    EXPECT_EQ(InterruptGate::Present::Get(gate.type), 1);
    EXPECT_EQ(InterruptGate::Type::Get(gate.type), InterruptGate::kInterrupt);
  }
}

TEST_P(RuntimeImageTest, TaskStateSegment) {
  const std::vector<uint8_t> tss = Read(sregs_.tr.base, sregs_.tr.limit + 1);
  uint64_t stack = 0;
  std::memcpy(&stack, tss.data() + 36, sizeof stack);
  EXPECT_EQ(stack,
            Layout::InKernel(Layout::kTrapStack).value() + Layout::kPageSize);
  EXPECT_EQ(kTrapFrame.value() + sizeof(TrapFrame),
            Layout::kTrapStack.value() + Layout::kPageSize);
  uint16_t map = 0;
  std::memcpy(&map, tss.data() + 102, sizeof map);
  ASSERT_LT(map, tss.size());
  // One port is open, and only where SYSCALL stays in ring 3; the bytes of ones
  // end the map.
  for (size_t port = 0; port < (tss.size() - map) * 8; ++port) {
    const bool closed = (tss[map + port / 8] >> (port % 8) & 1) != 0;
    EXPECT_EQ(!closed, GetParam() == SyscallEntry::kRing3 &&
                           port == Layout::kSyscallPort)
        << port;
  }
  EXPECT_EQ(tss.back(), 0xff);
  // All of it, the map included, is in its page.
  EXPECT_LE(sregs_.tr.base + tss.size(),
            Layout::InKernel(Layout::kDescriptors).value() + Layout::kPageSize);
}

TEST_P(RuntimeImageTest, CodeIsInItsPages) {
  const std::span<const std::byte> kernel = RuntimeCode::Kernel();
  const std::vector<uint8_t> there =
      Read(RuntimeCode::TrapEntry(0).value(), kernel.size());
  EXPECT_EQ(std::memcmp(there.data(), kernel.data(), kernel.size()), 0);
}

TEST_P(RuntimeImageTest, ModelSpecificRegisters) {
  for (const Msr& msr : RuntimeMsrs(GetParam())) {
    switch (msr.index) {
      case msr::kStar: {
        // What SYSRET loads in 64-bit mode, and SYSCALL.
        const uint16_t user = static_cast<uint16_t>(msr.value >> 48);
        EXPECT_EQ((user + 16) | 3, Gdt::kUserCode64);
        EXPECT_EQ((user + 8) | 3, Gdt::kUserData);
        const uint16_t kernel = static_cast<uint16_t>(msr.value >> 32);
        EXPECT_EQ(kernel, Gdt::kKernelCode64);
        EXPECT_EQ(kernel + 8, Gdt::kKernelData);
        break;
      }
      case msr::kLstar:
        EXPECT_EQ(msr.value, GetParam() == SyscallEntry::kRing0
                                 ? RuntimeCode::kernel_syscall().value()
                                 : RuntimeCode::user_syscall().value());
        break;
      case msr::kFmask:
        // TF, IF, DF, IOPL, NT, AC.
        EXPECT_EQ(msr.value & 0x47700, 0x47700u);
        break;
      default:
        ADD_FAILURE() << msr.index;
    }
  }
}

TEST(RuntimeMappingsTest, NothingIsWritableAndExecutable) {
  int user_pages = 0;
  for (const PageMapping& mapping : RuntimeMappings(4 << 20)) {
    SCOPED_TRACE(mapping.gva.value());
    EXPECT_FALSE(mapping.access.writable && mapping.access.executable);
    if (!mapping.access.user) {
      // In the upper half.
      EXPECT_GE(mapping.gva.value(), Layout::kDirectMap.value());
      continue;
    }
    ++user_pages;
    EXPECT_FALSE(mapping.access.writable);
    EXPECT_EQ(mapping.size, Layout::kPageSize);
    EXPECT_EQ(mapping.access.executable, mapping.gpa == Layout::kUserCode);
    EXPECT_GE(mapping.gva, Layout::kUserEnd);
  }
  EXPECT_EQ(user_pages, 2);
}

TEST(RuntimeMappingsTest, DirectMapIsAllOfMemory) {
  constexpr uint64_t kSize = 6 << 20;
  std::optional<PageMapping> direct;
  for (const PageMapping& mapping : RuntimeMappings(kSize)) {
    if (mapping.gva == Layout::kDirectMap) direct = mapping;
  }
  ASSERT_TRUE(direct.has_value());
  EXPECT_EQ(direct->gpa, Gpa(0));
  EXPECT_EQ(direct->size, kSize);
  EXPECT_FALSE(direct->access.executable);
  EXPECT_FALSE(direct->access.user);
}

TEST(RuntimeRegistersTest, ProtectionFollowsTheProcessor) {
  constexpr uint64_t kSmep = 1 << 20, kSmap = 1 << 21, kUmip = 1 << 11,
                     kOsXsave = 1 << 18;
  kvm_sregs all{};
  SetRuntimeRegisters(kCpu, kTables, all);
  EXPECT_EQ(all.cr4 & (kSmep | kSmap | kUmip | kOsXsave),
            kSmep | kSmap | kUmip | kOsXsave);
  kvm_sregs none{};
  SetRuntimeRegisters({}, kTables, none);
  EXPECT_EQ(none.cr4 & (kSmep | kSmap | kUmip | kOsXsave), 0u);
  for (const kvm_sregs& sregs : {all, none}) {
    EXPECT_EQ(sregs.cr3, kTables.value());
    // PG, WP, PE; LME, LMA, NXE, SCE.
    EXPECT_EQ(sregs.cr0 & 0x80010001, 0x80010001u);
    EXPECT_EQ(sregs.efer, 0xd01u);
    // Neither single pages of ring 3's own choice of FS base, nor counters.
    constexpr uint64_t kFsGsBase = 1 << 16, kCounters = 1 << 8;
    EXPECT_EQ(sregs.cr4 & (kFsGsBase | kCounters), 0u);
    EXPECT_EQ(sregs.ds.selector, 0);
    EXPECT_EQ(sregs.es.selector, 0);
    EXPECT_EQ(sregs.fs.selector, 0);
    EXPECT_EQ(sregs.gs.selector, 0);
    EXPECT_EQ(RingOf(sregs), Ring::k3);
  }
}

TEST(RuntimeRegistersTest, Rings) {
  kvm_sregs sregs{};
  SetRing(Ring::k3, sregs);
  EXPECT_EQ(RingOf(sregs), Ring::k3);
  EXPECT_EQ(sregs.cs.selector, Gdt::kUserCode64);
  EXPECT_EQ(sregs.ss.selector, Gdt::kUserData);
  EXPECT_EQ(sregs.ss.dpl, 3);
  SetRing(Ring::k0, sregs);
  EXPECT_EQ(RingOf(sregs), Ring::k0);
  EXPECT_EQ(sregs.cs.selector, Gdt::kKernelCode64);
  EXPECT_EQ(sregs.ss.selector, Gdt::kKernelData);
}

TEST(WriteRuntimeTest, MemoryThatIsTooSmall) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 0x3000}));
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0), region));
  EXPECT_FALSE(WriteRuntime(*memory, SyscallEntry::kRing0));
}

}  // namespace
}  // namespace libvmm::sandbox
