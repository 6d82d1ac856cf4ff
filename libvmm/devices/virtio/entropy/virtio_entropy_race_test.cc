// SPDX-License-Identifier: Apache-2.0
// A VirtioEntropy served, driven, overwritten and supplied on threads of their
// own.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_race.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RunVirtioRace;
using ::libvmm::testing::VirtioRaceResult;

class VirtioEntropyRaceTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioEntropyRaceTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioEntropyRaceTest, QueueDriverMutatorAndEmbedderAtOnce) {
  std::atomic<bool> dry = false;
  const auto device =
      *VirtioEntropy::Create({.source = [&](std::span<std::byte> to) {
        if (dry) return size_t{0};
        std::fill(to.begin(), to.end(), std::byte{1});
        return to.size();
      }});
  const VirtioRaceResult result = RunVirtioRace(
      *device, {.packed = GetParam(), .embed = [&](std::mt19937_64& random) {
                  dry = random() % 4 == 0;
                  device->SourceReady();
                  if (random() % 8 == 0) {
                    ASSERT_OK(device->SetLimits(
                        {.operations = {.rate = random() % 2 * 1000000}}));
                  }
                }});
  EXPECT_GT(result.added, 0u);
  EXPECT_GT(result.collected, 0u);
  EXPECT_GT(result.serves, 0u);
  EXPECT_GT(result.embedded, 0u);
}

}  // namespace
}  // namespace libvmm
