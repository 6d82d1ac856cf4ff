// SPDX-License-Identifier: Apache-2.0
// getrandom(2) failing: what is missing is missing from the count.
#include <array>
#include <cerrno>
#include <cstddef>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/entropy/system_entropy.h"
#include "libvmm/testing/fault_check.h"

namespace libvmm::testing {
namespace {

TEST(SystemEntropyFaultsTest, Fill) {
  Check(FaultScenario("SystemEntropy")
            .Survives("getrandom", {}, "fewer bytes, which the count says"),
        []() -> absl::Status {
          std::array<std::byte, 64> bytes{};
          const size_t got = SystemEntropy()(bytes);
          return Expect(
              got == bytes.size() || (got == 0 && bytes == decltype(bytes){}),
              "all bytes or none");
        });
}

TEST(SystemEntropyFaultsTest, InterruptedIsResumed) {
  Check(FaultScenario("SystemEntropy, interrupted")
            .Survives("getrandom", {EINTR}, "again")
            .GivesCode("getrandom", {}, absl::StatusCode::kInternal,
                       "the body's"),
        []() -> absl::Status {
          std::array<std::byte, 64> bytes{};
          return SystemEntropy()(bytes) == bytes.size()
                     ? absl::OkStatus()
                     : absl::InternalError("getrandom gave less");
        });
}

}  // namespace
}  // namespace libvmm::testing
