// SPDX-License-Identifier: Apache-2.0
// Runs the default guest against devices of a few lines each.
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "examples/guest/guest_image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/elf_mappings.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::testing::HasSubstr;

constexpr Gpa kAccumulator(0xd0000000);
constexpr GpaRange kTables{Gpa(0x10000), 0x10000};
constexpr GpaRange kStack{Gpa(0x8000), 0x1000};

struct Outcome {
  // What the exit port was given; nothing when the guest ended otherwise.
  std::optional<int> exit_value;
  ExitReason last_exit{};
  std::string text;
};

// Answers the guest's exits until it writes to the exit port. `fault` is added
// to the accumulator's sum.
void Serve(Vcpu& vcpu, uint64_t fault, Outcome& outcome) {
  uint64_t sum = 1000 + fault;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu.Run());
    outcome.last_exit = exit.reason();
    if (exit.reason() == ExitReason::kMmio) {
      const MmioExit mmio = exit.mmio();
      ASSERT_EQ(mmio.gpa, kAccumulator);
      ASSERT_EQ(mmio.data.size(), 8u);
      if (mmio.is_write) {
        uint64_t value;
        std::memcpy(&value, mmio.data.data(), sizeof value);
        sum += value + fault;
      } else {
        std::memcpy(mmio.data.data(), &sum, sizeof sum);
      }
      continue;
    }
    if (exit.reason() != ExitReason::kPio) return;
    const PioExit pio = exit.pio();
    ASSERT_EQ(pio.data.size(), 1u);
    if (pio.port == 0xf4) {
      outcome.exit_value = static_cast<int>(pio.data[0]);
      return;
    }
    if (pio.port == 0x3fd) pio.data[0] = std::byte{0x60};
    if (pio.port == 0x3f8) outcome.text += static_cast<char>(pio.data[0]);
  }
}

class GuestTest : public ::testing::TestWithParam<Privilege> {
 protected:
  void Run(uint64_t fault, Outcome& outcome) {
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    ASSERT_OK_AND_ASSIGN(const ElfImage image,
                         ElfImage::Parse(examples::GuestImage()));
    ASSERT_OK(image.Load(guest.memory()));
    const bool user = GetParam() == Privilege::kUser;
    ASSERT_OK_AND_ASSIGN(std::vector<PageMapping> mappings,
                         ElfMappings(image, user));
    mappings.push_back(
        IdentityMapping(kStack, {.writable = true, .user = user}));
    mappings.push_back(IdentityMapping({kAccumulator, 0x1000},
                                       {.writable = true, .user = user}));
    ASSERT_OK(EnterLongMode(guest.vcpu(), guest.memory(),
                            {.entry = image.entry(),
                             .stack_top = Gva(kStack.start.value() + 0x1000),
                             .privilege = GetParam(),
                             .tables = kTables,
                             .mappings = mappings}));
    Serve(guest.vcpu(), fault, outcome);
  }
};

INSTANTIATE_TEST_SUITE_P(Both, GuestTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST_P(GuestTest, PrintsChecksAndExits) {
  LIBVMM_NEEDS_KVM();
  Outcome outcome;
  Run(0, outcome);
  EXPECT_EQ(outcome.exit_value, 0x10);
  EXPECT_EQ(outcome.text,
            "Hello from a guest of libvmm.\r\n"
            "  n    n^2     n^3\r\n"
            "  1      1       1\r\n"
            "  2      4       8\r\n"
            "  3      9      27\r\n"
            "  4     16      64\r\n"
            "  5     25     125\r\n"
            "accumulator: 1311768467463790705, as expected\r\n"
            "All checks passed.\r\n");
}

TEST_P(GuestTest, WrongSumGivesAnotherExitValue) {
  LIBVMM_NEEDS_KVM();
  Outcome outcome;
  Run(1, outcome);
  EXPECT_EQ(outcome.exit_value, 0x11);
  EXPECT_THAT(outcome.text, HasSubstr("WRONG\r\nA check has failed.\r\n"));
}

}  // namespace
}  // namespace libvmm
