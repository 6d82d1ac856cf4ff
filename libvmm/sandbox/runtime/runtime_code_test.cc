// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/runtime/runtime_code.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

constexpr uint8_t kOut = 0xe6;   // out %al, $imm8
constexpr uint8_t kPush = 0x6a;  // push $imm8
constexpr uint8_t kShortJump = 0xeb;
constexpr uint8_t kNearJump = 0xe9;
const std::array<uint8_t, 2> kUndefined = {0x0f, 0x0b};
const std::array<uint8_t, 2> kSyscall = {0x0f, 0x05};
const std::array<uint8_t, 2> kSyscallOut = {
    kOut, static_cast<uint8_t>(RuntimeLayout::kSyscallPort)};

// `size` bytes of machine code at an address of the kernel's or user's page.
std::vector<uint8_t> CodeAt(Gva gva, size_t size) {
  const Gva kernel = RuntimeLayout::InKernel(RuntimeLayout::kKernelCode);
  const bool is_kernel = gva >= kernel;
  const std::span<const std::byte> page =
      is_kernel ? RuntimeCode::Kernel() : RuntimeCode::User();
  const uint64_t offset =
      gva.value() - (is_kernel ? kernel : RuntimeLayout::kUserPages).value();
  std::vector<uint8_t> bytes(size);
  if (offset > page.size() || page.size() - offset < size) return {};
  std::memcpy(bytes.data(), page.data() + offset, size);
  return bytes;
}

TEST(RuntimeCodeTest, FitsIntoItsPages) {
  EXPECT_LE(RuntimeCode::Kernel().size(), RuntimeLayout::kPageSize);
  EXPECT_LE(RuntimeCode::User().size(), RuntimeLayout::kPageSize);
  EXPECT_EQ(RuntimeCode::TrapEntry(0),
            RuntimeLayout::InKernel(RuntimeLayout::kKernelCode));
}

// The ports of runtime.S are those of the layout. Whatever else is an OUT would
// be one that the host does not know.
TEST(RuntimeCodeTest, PortsOfRing0) {
  EXPECT_THAT(CodeAt(RuntimeCode::trap_resume() - 2, 2),
              ElementsAre(kOut, RuntimeLayout::kTrapPort));
  EXPECT_THAT(CodeAt(RuntimeCode::kernel_syscall(), 2),
              ElementsAreArray(kSyscallOut));
  EXPECT_EQ(RuntimeCode::kernel_sysret(), RuntimeCode::kernel_syscall() + 2);
  const Gva end = RuntimeLayout::InKernel(RuntimeLayout::kKernelCode) +
                  RuntimeCode::Kernel().size();
  EXPECT_THAT(CodeAt(end - 4, 4),
              ElementsAre(kOut, RuntimeLayout::kDonePort, 0x0f, 0x0b));
}

TEST(RuntimeCodeTest, PortsOfRing3) {
  EXPECT_THAT(CodeAt(RuntimeCode::user_syscall(), 2),
              ElementsAreArray(kSyscallOut));
  EXPECT_THAT(CodeAt(RuntimeCode::return_by_port(), 2),
              ElementsAreArray(kSyscallOut));
  EXPECT_EQ(RuntimeCode::returned_by_port(), RuntimeCode::return_by_port() + 2);
}

TEST(RuntimeCodeTest, SystemCalls) {
  EXPECT_THAT(CodeAt(RuntimeCode::return_by_syscall(), 2),
              ElementsAreArray(kSyscall));
  EXPECT_EQ(RuntimeCode::returned_by_syscall(),
            RuntimeCode::return_by_syscall() + 2);
  EXPECT_THAT(CodeAt(RuntimeCode::probe(), 2), ElementsAreArray(kSyscall));
  // sysretq, and not sysretl, which would go to compatibility mode.
  EXPECT_THAT(CodeAt(RuntimeCode::kernel_sysret(), 3),
              ElementsAre(0x48, 0x0f, 0x07));
}

// A double in XMM0 is copied to RAX on the way into the other stub.
TEST(RuntimeCodeTest, ReturnsOfDoubles) {
  const std::vector<uint8_t> move = {0x66, 0x48, 0x0f, 0x7e, 0xc0};
  EXPECT_THAT(CodeAt(RuntimeCode::return_double_by_port(), move.size()),
              ElementsAreArray(move));
  EXPECT_EQ(RuntimeCode::return_double_by_port() + move.size(),
            RuntimeCode::return_by_port());
  EXPECT_THAT(CodeAt(RuntimeCode::return_double_by_syscall(), move.size()),
              ElementsAreArray(move));
  EXPECT_EQ(RuntimeCode::return_double_by_syscall() + move.size(),
            RuntimeCode::return_by_syscall());
}

// What is not left does not run on into other code.
TEST(RuntimeCodeTest, StubsEndInUndefinedInstructions) {
  for (const Gva end :
       {RuntimeCode::returned_by_port(), RuntimeCode::returned_by_syscall(),
        RuntimeCode::user_syscall() + 2, RuntimeCode::probe() + 2}) {
    EXPECT_THAT(CodeAt(end, 2), ElementsAreArray(kUndefined)) << end.value();
  }
}

TEST(RuntimeCodeTest, TrapEntriesPushTheirVector) {
  // With an error code of the processor's own: #DF, #TS, #NP, #SS, #GP, #PF,
  // #AC, #CP, #VC, #SX (AMD APM volume 2, table 8-1).
  constexpr uint8_t kWithErrorCode[] = {8, 10, 11, 12, 13, 14, 17, 21, 29, 30};
  Gva common{};
  for (uint8_t vector = 0; vector < RuntimeCode::kTrapCount; ++vector) {
    SCOPED_TRACE(vector);
    const Gva entry = RuntimeCode::TrapEntry(vector);
    std::vector<uint8_t> code = CodeAt(entry, RuntimeCode::kTrapEntrySize);
    size_t at = 0;
    if (std::ranges::find(kWithErrorCode, vector) == std::end(kWithErrorCode)) {
      EXPECT_EQ(code[at], kPush);
      EXPECT_EQ(code[at + 1], 0);
      at += 2;
    }
    ASSERT_EQ(code[at], kPush);
    EXPECT_EQ(code[at + 1], vector);
    at += 2;
    int32_t distance = 0;
    if (code[at] == kShortJump) {
      distance = static_cast<int8_t>(code[at + 1]);
      at += 2;
    } else {
      ASSERT_EQ(code[at], kNearJump);
      std::memcpy(&distance, code.data() + at + 1, sizeof distance);
      at += 5;
    }
    const Gva target(entry.value() + at +
                     static_cast<uint64_t>(int64_t{distance}));
    if (vector == 0) common = target;
    EXPECT_EQ(target, common);
  }
  // push %rax; mov %cr2, %rax; xchg %rax, (%rsp); out
  EXPECT_THAT(CodeAt(common, 10),
              ElementsAre(0x50, 0x0f, 0x20, 0xd0, 0x48, 0x87, 0x04, 0x24, kOut,
                          RuntimeLayout::kTrapPort));
}

TEST(RuntimeCodeTest, TrapsLeaveTheirFrameByIretq) {
  // add $24, %rsp; iretq: over CR2, vector and error code.
  EXPECT_THAT(CodeAt(RuntimeCode::trap_resume(), 6),
              ElementsAre(0x48, 0x83, 0xc4, 24, 0x48, 0xcf));
}

}  // namespace
}  // namespace libvmm::sandbox
