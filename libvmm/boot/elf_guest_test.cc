// SPDX-License-Identifier: Apache-2.0
// An ELF program compiled from C at build time, loaded and run with its
// segments' own rights at both privilege levels.
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/elf_mappings.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;

constexpr char kImagePath[] = "libvmm/boot/elf_guest.elf";
constexpr GpaRange kTables{Gpa(0x80000), 0x10000};
constexpr Gva kStack(0x7fff'0000'0000);
constexpr uint64_t kStackSize = 0x4000;

// As in elf_guest.c.
enum class Command : uint64_t {
  kCheckImage = 0,
  kWriteText = 1,
  kWriteConstant = 2,
  kRunData = 3,
};

class ElfGuestTest : public ::testing::TestWithParam<Privilege> {
 protected:
  // Loads the program, and runs it until its first exit.
  void Run(Command command) {
    ASSERT_OK_AND_ASSIGN(guest_, BootGuest::Create());
    ASSERT_OK_AND_ASSIGN(const ImageFile file, ImageFile::Open(kImagePath));
    ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file.bytes()));
    // What is there before must not shine through the bss.
    ASSERT_TRUE(guest_->memory().Fill(image.range(), std::byte{0xee}));
    ASSERT_OK(image.Load(guest_->memory()));

    const bool user = GetParam() == Privilege::kUser;
    ASSERT_OK_AND_ASSIGN(std::vector<PageMapping> mappings,
                         ElfMappings(image, user));
    mappings.push_back({.gva = kStack,
                        .gpa = Gpa(0x70000),
                        .size = kStackSize,
                        .access = {.writable = true, .user = user}});
    Vcpu& vcpu = guest_->vcpu();
    ASSERT_OK(EnterLongMode(vcpu, guest_->memory(),
                            {.entry = image.entry(),
                             .stack_top = kStack + (kStackSize - 8),
                             .privilege = GetParam(),
                             .tables = kTables,
                             .mappings = mappings}));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu.MutableRegisters());
    regs->rdi = static_cast<uint64_t>(command);
    reported_ = guest_->RunToPort();
  }

  std::optional<BootGuest> guest_;
  std::optional<uint8_t> reported_;
};

INSTANTIATE_TEST_SUITE_P(Both, ElfGuestTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST_P(ElfGuestTest, FindsItsConstantsDataAndBss) {
  LIBVMM_NEEDS_KVM();
  Run(Command::kCheckImage);
  EXPECT_EQ(reported_, 0x77);
}

TEST_P(ElfGuestTest, WriteToTextEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  Run(Command::kWriteText);
  ASSERT_TRUE(guest_.has_value());
  EXPECT_EQ(guest_->last_exit(), ExitReason::kShutdown);
}

TEST_P(ElfGuestTest, WriteToConstantsEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  Run(Command::kWriteConstant);
  ASSERT_TRUE(guest_.has_value());
  EXPECT_EQ(guest_->last_exit(), ExitReason::kShutdown);
}

TEST_P(ElfGuestTest, CallIntoDataEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  Run(Command::kRunData);
  ASSERT_TRUE(guest_.has_value());
  EXPECT_EQ(guest_->last_exit(), ExitReason::kShutdown);
}

}  // namespace
}  // namespace libvmm
